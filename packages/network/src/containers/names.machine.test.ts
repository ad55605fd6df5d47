import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '@wherry/base';
import { createDnsServer } from '@wherry/dns';
import { bindUdpInNetns, dialInNetns, listenInNetns, Nftables } from '@wherry/linux';
import { describe, expect, test } from 'vitest';
import { create, joinNetwork, machine, makeWorld, networks, restart, run } from '../../test/container-machine.ts';

describe('names', () => {
  /** What `dig` would print: response code, and records. */
  async function resolve(netns: string, name: string, type = 'A', { overTcp = false } = {}): Promise<string> {
    const packet = (await import('dns-packet')).default;
    const query = packet.encode({
      type: 'query',
      id: 7,
      flags: packet.RECURSION_DESIRED,
      questions: [{ name, type: type as 'A' }],
    });
    let data: Buffer;
    if (overTcp) {
      const socket = await dialInNetns(netns, '127.0.0.11', 53, { timeoutMs: 2000 });
      socket.end(Buffer.concat([Buffer.of(0, query.length), query]));
      data = Buffer.concat((await socket.toArray()) as Buffer[]).subarray(2);
    } else {
      const socket = await bindUdpInNetns(netns, '0.0.0.0', 0);
      try {
        const heard = once(socket, 'message', { signal: AbortSignal.timeout(10_000) });
        socket.send(query, 53, '127.0.0.11');
        const [answer, from] = (await heard) as [Buffer, { port: number }];
        expect(from.port).toBe(53);
        data = answer;
      } finally {
        socket.close();
      }
    }
    const answer = packet.decode(data);
    const { rcode } = answer as unknown as { rcode: string };
    return [rcode, ...(answer.answers ?? []).map((record) => String((record as { data: unknown }).data))].join(' ');
  }

  test('of neighbours, by name, alias, id and address, until they are gone', async () => {
    await create('n1', { enableIPv6: true });
    const services: AsyncDisposable[] = [];
    const web = await run('Web', 'n1', { aliases: ['www', 'pool'], hostname: 'hh' });
    const two = await run('two', 'n1', { aliases: ['pool'] });
    const one = await run('one', 'n1');
    await joinNetwork(one, 'bridge');
    // Docker's port 53 is free for the container's own server.
    const upstream = makeWorld();
    const elsewhere = await createDnsServer({
      sources: [
        {
          authoritative: false,
          resolve: (name, type) =>
            name === 'example.org' && type === 'A'
              ? { kind: 'records', answers: [{ type: 'A', name, ttl: 5, data: '203.0.113.5' }] }
              : { kind: 'noName' },
        },
      ],
      addresses: ['192.0.2.2'],
      netns: upstream,
      upstream: { servers: [] },
      log: silentLogger,
    });
    try {
      services.push(
        await networks.serveNames({
          containerId: one.id,
          netns: one.netns,
          links: { lnk: web.id, LNK2: two.id },
          upstream: ['192.0.2.2'],
        }),
      );
      const own = await bindUdpInNetns(one.netns, '0.0.0.0', 53);
      own.close();
      await networks.rename(web.id, 'web2');
      expect(networks.endpointsOf('n1').map(({ containerName }) => containerName)).toContain('web2');
      expect(await resolve(one.netns, 'web2')).toMatch(/^NOERROR /);
      expect(await resolve(one.netns, 'web')).toBe('NXDOMAIN');
      await networks.rename(web.id, 'Web');
      for (const name of ['web', 'WEB', 'www', 'lnk', 'hh', 'web.n1', web.id.slice(0, 12)]) {
        expect(await resolve(one.netns, name)).toBe(`NOERROR ${web.address}`);
      }
      expect(await resolve(one.netns, 'lnk2', 'A', { overTcp: true })).toBe(`NOERROR ${two.address}`);
      const [ipv6] = networks.endpoints(web.id).map((endpoint) => endpoint.ipv6?.address);
      expect(await resolve(one.netns, 'web', 'AAAA')).toBe(`NOERROR ${ipv6}`);
      expect(await resolve(one.netns, 'web', 'MX')).toBe('NOERROR');
      expect(await resolve(one.netns, `${web.address.split('.').reverse().join('.')}.in-addr.arpa`, 'PTR')).toBe(
        'NOERROR Web.n1',
      );
      const turns = [await resolve(one.netns, 'pool'), await resolve(one.netns, 'pool')];
      expect(new Set(turns)).toEqual(
        new Set([`NOERROR ${web.address} ${two.address}`, `NOERROR ${two.address} ${web.address}`]),
      );
      // Asked elsewhere, as the machine asks: the container itself reaches the world by its address only.
      expect(await resolve(one.netns, 'example.org')).toBe('NOERROR 203.0.113.5');
      expect(await resolve(one.netns, 'nosuch')).toBe('NXDOMAIN');
      await networks.disconnect('n1', web.id, web.netns);
      expect(await resolve(one.netns, 'web')).toBe('NXDOMAIN');
      expect(await resolve(one.netns, 'pool')).toBe(`NOERROR ${two.address}`);
      // A new server takes the place of the one before, as after a restart of the daemon.
      services.push(await networks.serveNames({ containerId: one.id, netns: one.netns, upstream: ['192.0.2.2'] }));
      expect(await resolve(one.netns, 'two')).toBe(`NOERROR ${two.address}`);
      expect(await resolve(one.netns, 'lnk2')).toBe('NXDOMAIN');
    } finally {
      for (const service of services) await service[Symbol.asyncDispose]();
      await elsewhere[Symbol.asyncDispose]();
    }
  });

  test('after a restart they are served at the same port, unless somebody took it', async () => {
    await create('n1');
    const [one, two] = [await run('one', 'n1'), await run('two', 'n1')];
    const serve = () => networks.serveNames({ containerId: one.id, netns: one.netns, upstream: [] });
    const rules = (): string => {
      using nftables = Nftables.open({ netns: one.netns });
      return nftables.listText('list ruleset');
    };
    const again = async (): Promise<void> => {
      await restart();
      await networks.reconcile(new Set([one.id, two.id]));
    };
    await serve();
    const before = rules();
    const port = Number(/dnat to 127\.0\.0\.11:(\d+)/.exec(before)?.[1]);
    await again();
    await serve();
    expect(rules()).toBe(before);
    expect(await resolve(one.netns, 'two')).toBe(`NOERROR ${two.address}`);
    for (const takePort of [
      async () => {
        const taken = await bindUdpInNetns(one.netns, '0.0.0.0', port);
        return async () => void taken.close();
      },
      async () => {
        const now = Number(/dnat to [\d.]+:(\d+)/.exec(rules())?.[1]);
        const taken = await listenInNetns(one.netns, '0.0.0.0', now, () => undefined);
        return async () => void (await new Promise((resolve) => taken.close(resolve)));
      },
    ]) {
      await again();
      const free = await takePort();
      await serve();
      expect(rules().match(/dnat to/g)).toHaveLength(1);
      expect(rules()).not.toBe(before);
      expect(await resolve(one.netns, 'two')).toBe(`NOERROR ${two.address}`);
      await free();
    }
    await networks.disconnect('n1', one.id, one.netns);
    expect(readdirSync(join(machine.directory, 'networks', 'names'))).toEqual([]);
  });

  test('internal networks ask nobody else', async () => {
    await create('in', { internal: true });
    const [one, two] = [await run('one', 'in'), await run('two', 'in')];
    await using _ = await networks.serveNames({ containerId: one.id, netns: one.netns, upstream: ['192.0.2.2'] });
    expect(await resolve(one.netns, 'two')).toBe(`NOERROR ${two.address}`);
    expect(await resolve(one.netns, 'two', 'AAAA')).toBe('NOERROR');
    expect(await resolve(one.netns, 'example.org')).toBe('SERVFAIL');
  });
});
