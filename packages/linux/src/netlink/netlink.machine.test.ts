import { execFileSync } from 'node:child_process';
import { codeOf, systemRandom } from '@wherry/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bindUdpInNetns, dialInNetns, listenInNetns } from '../sockets/namespace-sockets.ts';
import { readNetworkSysctl, writeNetworkSysctl } from '../sockets/sysctl.ts';
import { addAddressRequest, listAddresses } from './addresses.ts';
import {
  bridgeRequest,
  createVeth,
  deleteLinkRequest,
  dummyRequest,
  findLink,
  listLinks,
  setLinkRequest,
} from './links.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { addRouteRequest, deleteRouteRequest, listRoutes } from './routes.ts';

const suffix = systemRandom.hex(6);
const [machine, pod] = [`wt-${suffix}a`, `wt-${suffix}b`];
const path = (name: string): string => `/run/netns/${name}`;

beforeAll(() => {
  for (const name of [machine, pod]) execFileSync('ip', ['netns', 'add', name]);
});
afterAll(() => {
  for (const name of [machine, pod]) execFileSync('ip', ['netns', 'del', name]);
});

function codeFrom(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
}

describe('netlink', () => {
  test('makes a bridge, a veth pair across namespaces, addresses and routes', () => {
    using host = NetlinkSocket.open({ netns: path(machine) });
    host.execute(bridgeRequest('br0', { up: true, mac: '02:00:00:00:00:01', mtu: 1400 }));
    const bridge = findLink(host, 'br0')!;
    expect(bridge).toMatchObject({ up: true, kind: 'bridge', mac: '02:00:00:00:00:01', mtu: 1400 });
    createVeth(host, {
      name: 'v0',
      settings: { up: true, master: bridge.index, mtu: 1400 },
      peer: { netns: path(pod), name: 'eth0', mac: '02:00:00:00:00:02', mtu: 1400 },
    });
    host.execute(setLinkRequest(findLink(host, 'v0')!.index, { alias: 'sandbox 1' }));
    expect(findLink(host, 'v0')).toMatchObject({ master: bridge.index, kind: 'veth', up: true, alias: 'sandbox 1' });
    host.execute(addAddressRequest(bridge.index, '10.1.0.1/24'));

    using inside = NetlinkSocket.open({ netns: path(pod) });
    const eth0 = findLink(inside, 'eth0')!;
    expect(eth0).toMatchObject({ up: false, mac: '02:00:00:00:00:02', mtu: 1400 });
    inside.batch([
      setLinkRequest(1, { up: true }),
      setLinkRequest(eth0.index, { up: true }),
      addAddressRequest(eth0.index, '10.1.0.2/24', { prefixRoute: false }),
      addRouteRequest({ destination: '10.1.0.1/32', device: eth0.index }),
      addRouteRequest({ destination: '0.0.0.0/0', via: '10.1.0.1', device: eth0.index }),
    ]);
    expect(listAddresses(inside)).toContainEqual({ index: eth0.index, address: '10.1.0.2', prefix: 24 });
    expect(
      listRoutes(inside)
        .filter((route) => !route.destination.includes(':'))
        .map((route) => `${route.destination} via ${route.via}`)
        .sort(),
    ).toEqual(['0.0.0.0/0 via 10.1.0.1', '10.1.0.1/32 via undefined']);
    expect(listLinks(inside).map((link) => link.name)).toEqual(expect.arrayContaining(['lo', 'eth0']));
  });

  test('deletes while the process goes on', async () => {
    using socket = NetlinkSocket.open({ netns: path(machine) });
    socket.execute(bridgeRequest('br9'));
    const { index } = findLink(socket, 'br9')!;
    using aside = NetlinkSocket.open({ netns: path(machine) });
    const deleted = aside.executeAside(deleteLinkRequest(index));
    expect(await Promise.race([deleted.then(() => 'deleted'), Promise.resolve('going on')])).toBe('going on');
    await deleted;
    expect(findLink(socket, 'br9')).toBeUndefined();
    await expect(aside.executeAside(deleteLinkRequest(index))).rejects.toMatchObject({ code: 'notFound' });
    expect(findLink(aside, 'br0')).toBeDefined();
  });

  test('fails with codes', () => {
    using socket = NetlinkSocket.open({ netns: path(machine) });
    expect(codeFrom(() => socket.execute(bridgeRequest('br0')))).toBe('alreadyExists');
    expect(codeFrom(() => socket.execute(deleteLinkRequest(9999)))).toBe('notFound');
    expect(codeFrom(() => socket.execute(dummyRequest('a name')))).toBe('invalid');
    expect(findLink(socket, 'none')).toBeUndefined();
    // The failure of one does not keep the others of the batch from being done, and the socket stays usable.
    expect(codeFrom(() => socket.batch([bridgeRequest('br0'), bridgeRequest('br1')]))).toBe('alreadyExists');
    expect(findLink(socket, 'br1')?.kind).toBe('bridge');
    expect(codeFrom(() => NetlinkSocket.open({ netns: path('no-such') }))).toBeDefined();
  });

  test('adds and deletes unreachable routes', () => {
    using socket = NetlinkSocket.open({ netns: path(machine) });
    const route = { destination: '10.9.0.0/16', type: 'unreachable', metric: 4000 } as const;
    socket.execute(addRouteRequest(route));
    expect(listRoutes(socket)).toContainEqual(expect.objectContaining(route));
    socket.execute(deleteRouteRequest(route));
    expect(listRoutes(socket)).not.toContainEqual(expect.objectContaining(route));
  });

  test('reads and writes sysctls of a namespace', () => {
    writeNetworkSysctl('net.ipv4.conf.br0.route_localnet', '1', path(machine));
    expect(readNetworkSysctl('net.ipv4.conf.br0.route_localnet', path(machine))).toBe('1');
    expect(readNetworkSysctl('net.ipv4.conf.br0.route_localnet')).toBeUndefined();
    expect(codeFrom(() => readNetworkSysctl('kernel.panic'))).toBe('invalid');
    expect(codeFrom(() => readNetworkSysctl('net/../kernel/panic'))).toBe('invalid');
  });
});

describe('sockets in namespaces', () => {
  test('dial a listener in another namespace', async () => {
    await using stack = new AsyncServers();
    const server = await listenInNetns(path(machine), '10.1.0.1', 0, (socket) => socket.end('hello'));
    stack.add(server);
    const { port } = server.address() as { port: number };
    const socket = await dialInNetns(path(pod), '10.1.0.1', port);
    const text = await socket.setEncoding('utf8').toArray();
    expect(text.join('')).toBe('hello');
    await expect(dialInNetns(path(pod), '10.1.0.1', 1)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(dialInNetns(path(pod), 'localhost', 1)).rejects.toMatchObject({ code: 'invalid' });
    // Nothing answers for this address, and the wait for its neighbour is longer than the limit.
    await expect(dialInNetns(path(machine), '10.1.0.77', 80, { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'timeout',
    });
    const controller = new AbortController();
    const pending = dialInNetns(path(machine), '10.1.0.78', 80, { signal: controller.signal });
    controller.abort();
    await expect(pending).rejects.toMatchObject({ code: 'cancelled' });
    await expect(listenInNetns(path(machine), '10.1.0.1', port, () => undefined)).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  test('exchange datagrams', async () => {
    const server = await bindUdpInNetns(path(machine), '10.1.0.1', 0);
    const client = await bindUdpInNetns(path(pod), '10.1.0.2', 0);
    try {
      server.on('message', (data, from) => server.send(`${data}!`, from.port, from.address));
      const answer = new Promise((resolve) => client.once('message', (data) => resolve(String(data))));
      client.send('hi', server.address().port, '10.1.0.1');
      expect(await answer).toBe('hi!');
    } finally {
      server.close();
      client.close();
    }
  });
});

class AsyncServers implements AsyncDisposable {
  readonly #servers: { close(done: () => void): unknown }[] = [];
  add(server: { close(done: () => void): unknown }): void {
    this.#servers.push(server);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) await new Promise<void>((resolve) => server.close(resolve));
  }
}
