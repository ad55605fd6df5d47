import { once } from 'node:events';
import type { Server } from 'node:net';
import { systemRandom } from '@wherry/base';
import { bindUdpInNetns, listenInNetns, writeNetworkSysctl } from '@wherry/linux';
import { describe, expect, test } from 'vitest';
import {
  ask,
  askUdp,
  type Container,
  create,
  ip,
  joinNetwork,
  machine,
  makeNamespace,
  makeWorld,
  nameOf,
  networks,
  refused,
  restart,
  run,
  serve,
  servers,
  tcp,
  withSubnet,
} from '../../test/container-machine.ts';
import type { PortRequest } from '../container-networks.ts';
import { isSamePort } from '../machine-port.ts';

describe('several networks of a container', () => {
  test('the default route follows priority, then the name', async () => {
    for (const name of ['aa', 'bb', 'cc']) await create(name);
    const one = await run('one', 'bb');
    const route = () =>
      /default via (\S+) dev (\S+)/
        .exec(ip('-n', nameOf(one.netns), 'route'))
        ?.slice(1)
        .join(' ');
    expect(route()).toBe('172.19.0.1 eth0');
    await joinNetwork(one, 'cc');
    expect(route()).toBe('172.19.0.1 eth0');
    await joinNetwork(one, 'aa');
    expect(route()).toBe('172.18.0.1 eth2');
    await networks.disconnect('cc', one.id, one.netns);
    await joinNetwork(one, 'cc', { gatewayPriority: 1 });
    // Another name than it had before: as dockerd, while the container runs.
    expect(route()).toBe('172.20.0.1 eth3');
    expect(networks.endpoints(one.id).map(({ network }) => network.name)).toEqual(['cc', 'aa', 'bb']);
    // Published ports lead through the same network.
    await serve(one.netns, '0.0.0.0', 80);
    await networks.publish(one.id, [tcp(80, 8080)]);
    const world = makeWorld();
    expect(await ask(world, '192.0.2.1', 8080)).toBe('192.0.2.2');
    await networks.disconnect('cc', one.id, one.netns);
    expect(route()).toBe('172.18.0.1 eth2');
    expect(await ask(world, '192.0.2.1', 8080)).toBe('192.0.2.2');
    // A bridge without an address has a gateway all the same: somebody else's.
    await networks.disconnect('aa', one.id, one.netns);
    await networks.disconnect('bb', one.id, one.netns);
    await create('dd', { options: { 'com.docker.network.bridge.inhibit_ipv4': 'true' } });
    await joinNetwork(one, 'dd');
    expect(route()).toBe('172.21.0.1 eth4');
    // With its next run it begins anew.
    await networks.disconnect('dd', one.id);
    await joinNetwork(one, 'aa');
    expect(route()).toBe('172.18.0.1 eth0');
    expect(ip('-n', nameOf(machine.netns), '-4', 'addr')).not.toContain('172.21.0.1');
  });

  test('an address can be set aside for a container that does not run', async () => {
    await create('n1', withSubnet('10.77.0.0/24'));
    const request = { containerId: systemRandom.hex(64), containerName: 'one', ipv4: '10.77.0.9' };
    const reserved = await networks.connect('n1', request);
    expect(networks.endpointsOf('n1')).toEqual([]);
    await expect(run('two', 'n1', { ipv4: '10.77.0.9' })).rejects.toMatchObject({
      code: 'forbidden',
      message: 'Address already in use',
    });
    const endpoint = await networks.connect('n1', { ...request, ipv4: undefined, netns: makeNamespace() });
    expect(endpoint).toMatchObject({ id: reserved.id, ipv4: { address: '10.77.0.9' } });
  });
});

describe('published ports', () => {
  test.each(['0', '1'])('answer from everywhere, to the client’s own address (br_netfilter %s)', async (filter) => {
    writeNetworkSysctl('net.bridge.bridge-nf-call-iptables', filter, machine.netns);
    const world = makeWorld();
    await create('n1');
    const [one, two, three] = [await run('one'), await run('two'), await run('three', 'n1')];
    await serve(one.netns, '0.0.0.0', 80);
    expect(await networks.publish(one.id, [tcp(80, 8080)])).toEqual([
      { protocol: 'TCP', containerPort: 80, hostIp: '0.0.0.0', hostPort: 8080 },
      { protocol: 'TCP', containerPort: 80, hostIp: '::', hostPort: 8080 },
    ]);
    expect(await ask(world, '192.0.2.1', 8080)).toBe('192.0.2.2');
    expect(await ask(machine.netns, '127.0.0.1', 8080)).toBe('172.17.0.1');
    expect(await ask(machine.netns, '192.0.2.1', 8080)).toBe('192.0.2.1');
    // To a container without IPv6 this process carries what comes by IPv6.
    expect(await ask(machine.netns, '::1', 8080)).toBe('172.17.0.1');
    expect(await ask(world, '2001:db8::1', 8080)).toBe('172.17.0.1');
    for (const from of [one, two, three]) {
      expect(await ask(from.netns, '172.17.0.1', 8080)).not.toBe('');
      expect(await ask(from.netns, '192.0.2.1', 8080)).not.toBe('');
    }
    await networks.unpublish(one.id);
    await refused(machine.netns, '127.0.0.1', 8080);
    await refused(world, '192.0.2.1', 8080);
  });

  test('are none of those that pods have', async () => {
    const pods = [{ protocol: 'TCP', hostPort: 8080 }] as const;
    await restart({ portHolder: (port) => (pods.some((pod) => isSamePort(pod, port)) ? 'pod web' : undefined) });
    const one = await run('one');
    await expect(networks.publish(one.id, [tcp(80, 8080, '127.0.0.1')])).rejects.toThrow(
      'Bind for 127.0.0.1:8080 failed: port is already allocated: it is a host port of pod web',
    );
    expect((await networks.publish(one.id, [tcp(80, [8080, 8081])])).map(({ hostPort }) => hostPort)).toEqual([
      8081, 8081,
    ]);
    expect(networks.portHolder({ protocol: 'TCP', hostPort: 8081 })).toBe('container one');
    expect(networks.portHolder({ protocol: 'UDP', hostPort: 8081 })).toBeUndefined();
  });

  test('go with the last network that leads out', async () => {
    await create('n1');
    await create('in', { internal: true });
    const one = await run('one');
    await joinNetwork(one, 'n1');
    await joinNetwork(one, 'in');
    await networks.publish(one.id, [tcp(80, 8080)]);
    await networks.disconnect('bridge', one.id, one.netns);
    expect([networks.leadsOut(one.id), networks.published(one.id).length]).toEqual([true, 2]);
    await networks.disconnect('n1', one.id, one.netns);
    expect([networks.leadsOut(one.id), networks.published(one.id).length]).toEqual([false, 0]);
    // And are somebody else's to take.
    await networks.publish((await run('two')).id, [tcp(80, 8080)]);
  });

  test('are where the network says, unless they say it themselves', async () => {
    await create('n1', { options: { 'com.docker.network.bridge.host_binding_ipv4': '::1' } });
    const one = await run('one', 'n1');
    await serve(one.netns, '0.0.0.0', 80);
    const published = await networks.publish(one.id, [tcp(80, 8080), tcp(80, 8081, '127.0.0.1')]);
    expect(published.map(({ hostIp }) => hostIp)).toEqual(['::1', '127.0.0.1']);
    expect(await ask(machine.netns, '::1', 8080)).not.toBe('');
    await refused(machine.netns, '127.0.0.1', 8080);
  });

  test('on one address only', async () => {
    const world = makeWorld();
    const one = await run('one');
    await serve(one.netns, '0.0.0.0', 80);
    await networks.publish(one.id, [tcp(80, 8080, '127.0.0.1'), tcp(80, 8081, '192.0.2.1')]);
    expect(await ask(machine.netns, '127.0.0.1', 8080)).not.toBe('');
    await refused(world, '192.0.2.1', 8080);
    expect(await ask(world, '192.0.2.1', 8081)).toBe('192.0.2.2');
    await refused(machine.netns, '127.0.0.1', 8081);
  });

  test('of UDP, and a conversation follows when the port is published anew', async () => {
    const world = makeWorld();
    const answer = async (name: string): Promise<Container> => {
      const container = await run(name);
      const socket = await bindUdpInNetns(container.netns, '0.0.0.0', 53);
      socket.on('message', (_data, { port, address }) => socket.send(name, port, address));
      servers.push({ close: (done: () => void) => socket.close(done) } as unknown as Server);
      return container;
    };
    const [one, two] = [await answer('one'), await answer('two')];
    const request: PortRequest = { protocol: 'UDP', containerPort: 53, hostPort: 5353 };
    await networks.publish(one.id, [request]);
    expect(await askUdp(world, '192.0.2.1', 5353)).toBe('one');
    expect(await askUdp(machine.netns, '127.0.0.1', 5353)).toBe('one');
    const client = await bindUdpInNetns(world, '192.0.2.2', 5000);
    try {
      for (const [container, other] of [
        [one, two],
        [two, one],
      ] as const) {
        await networks.unpublish(other.id);
        await networks.publish(container.id, [request]);
        const heard = once(client, 'message', { signal: AbortSignal.timeout(3000) });
        client.send('who', 5353, '192.0.2.1');
        expect(String((await heard)[0])).toBe(container.name);
      }
    } finally {
      client.close();
    }
  });

  test('any port, a port of a range, and SCTP', async () => {
    const [one, two] = [await run('one'), await run('two')];
    const any = await networks.publish(one.id, [
      tcp(80, 0),
      tcp(81, undefined, '127.0.0.1'),
      tcp(82, [9000, 9001], '127.0.0.1'),
    ]);
    expect(any.map(({ hostPort }) => hostPort)).toEqual([32768, 32768, 32769, 9000]);
    const sctp: PortRequest = { protocol: 'SCTP', containerPort: 7, hostPort: 7 };
    const next = await networks.publish(two.id, [tcp(82, [9000, 9001], '127.0.0.1'), sctp]);
    expect(next.map(({ hostPort }) => hostPort)).toEqual([9001, 7, 7]);
    expect(networks.published(two.id)).toEqual(next);
  });

  test('conflict with each other and with programs, both ways', async () => {
    const [one, two] = [await run('one'), await run('two')];
    await networks.publish(one.id, [tcp(80, 8080), { protocol: 'UDP', containerPort: 53, hostPort: 5353 }]);
    const [endpoint] = networks.endpoints(two.id);
    const prefix = `driver failed programming external connectivity on endpoint two (${endpoint!.id}): `;
    await expect(networks.publish(two.id, [tcp(80, 8081), tcp(80, 8080)])).rejects.toMatchObject({
      code: 'conflict',
      message: `${prefix}Bind for 0.0.0.0:8080 failed: port is already allocated`,
    });
    await expect(networks.publish(two.id, [tcp(80, 8080, '127.0.0.1')])).rejects.toMatchObject({
      message: `${prefix}Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use`,
    });
    await expect(networks.publish(two.id, [tcp(80, [8080, 8080])])).rejects.toMatchObject({
      message: `${prefix}all ports are allocated`,
    });
    // Another program cannot take it, even one that shares.
    await expect(listenInNetns(machine.netns, '0.0.0.0', 8080, () => undefined)).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(bindUdpInNetns(machine.netns, '127.0.0.1', 5353)).rejects.toMatchObject({ code: 'conflict' });
    await serve(machine.netns, '127.0.0.1', 7000);
    await expect(networks.publish(two.id, [tcp(80, 7001), tcp(80, 7000)])).rejects.toMatchObject({
      message: `${prefix}Error starting userland proxy: listen tcp4 0.0.0.0:7000: bind: address already in use`,
    });
    await expect(networks.publish(two.id, [tcp(80, 7000, '203.0.113.9')])).rejects.toThrow(
      'listen tcp4 203.0.113.9:7000: bind: cannot assign requested address',
    );
    // Without going through all ports.
    await expect(networks.publish(two.id, [tcp(80, 0, '203.0.113.9')])).rejects.toThrow('203.0.113.9:32768: bind');
    for (const wrong of [tcp(0, 1), tcp(80, 70_000), tcp(80, [9, 8]), tcp(80, 80, 'x')]) {
      await expect(networks.publish(two.id, [wrong])).rejects.toMatchObject({ code: 'invalid' });
    }
    // Nothing stays of what failed.
    expect(networks.published(two.id)).toEqual([]);
    await networks.publish(two.id, [tcp(80, 8081), tcp(80, 7001)]);
  });
});
