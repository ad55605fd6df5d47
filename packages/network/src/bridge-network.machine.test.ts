import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemRandom } from '@wherry/base';
import {
  dialInNetns,
  listenInNetns,
  listLinks,
  listRoutes,
  NetlinkSocket,
  Nftables,
  readNetworkSysctl,
  writeNetworkSysctl,
} from '@wherry/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BridgeNetwork, createBridgeNetwork } from './bridge-network.ts';

const ip = (...args: string[]): void => void execFileSync('ip', args);
const pathOf = (name: string): string => `/run/netns/${name}`;

let namespaces: string[];
let servers: Server[];
let machine: string;
let world: string;
let stateDirectory: string;
let network: BridgeNetwork;

/** A machine whose default route leads to a second namespace, the world. Neither is connected to the host. */
beforeEach(async () => {
  namespaces = [];
  servers = [];
  machine = makeNamespace('m');
  // A new namespace has the setting of the host.
  writeNetworkSysctl('net.ipv4.ip_forward', '0', pathOf(machine));
  world = makeNamespace('w');
  ip('-n', machine, 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'down0', 'netns', world);
  for (const [name, link, address] of [
    [machine, 'up0', '192.0.2.1/24'],
    [world, 'down0', '192.0.2.2/24'],
  ] as const) {
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'addr', 'add', address, 'dev', link);
    ip('-n', name, 'link', 'set', link, 'up');
  }
  ip('-n', machine, 'route', 'add', 'default', 'via', '192.0.2.2');
  stateDirectory = await mkdtemp(join(tmpdir(), 'wherry-network-'));
  network = await open();
});

afterEach(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  network[Symbol.dispose]();
  for (const name of namespaces) ip('netns', 'del', name);
  await rm(stateDirectory, { recursive: true, force: true });
});

function open(overrides: Partial<Parameters<typeof createBridgeNetwork>[0]> = {}): Promise<BridgeNetwork> {
  return createBridgeNetwork({
    bridge: 'wt0',
    portHolder: ({ protocol, hostPort }) => (protocol === 'UDP' && hostPort === 53 ? 'container dns' : undefined),
    podCidr: '10.244.0.0/24',
    clusterCidr: '10.244.0.0/16',
    serviceCidr: '10.96.0.0/16',
    stateDirectory,
    netns: pathOf(machine),
    log: silentLogger,
    ...overrides,
  });
}

function makeNamespace(kind: string): string {
  const name = `wt-${systemRandom.hex(6)}${kind}`;
  ip('netns', 'add', name);
  namespaces.push(name);
  return name;
}

async function addPod(id: string, portMappings: Parameters<BridgeNetwork['add']>[0]['portMappings'] = []) {
  const netns = pathOf(makeNamespace('p'));
  const { ips } = await network.add({ id, netns, portMappings });
  return { id, netns, address: ips[0]! };
}

/** A server that says who asked. */
async function serve(netns: string, address: string, port: number): Promise<void> {
  servers.push(await listenInNetns(netns, address, port, (socket) => socket.end(String(socket.remoteAddress))));
}

async function ask(netns: string, address: string, port: number): Promise<string> {
  const socket = await dialInNetns(netns, address, port, { timeoutMs: 5000 });
  return (await socket.setEncoding('utf8').toArray()).join('');
}

describe('traffic', () => {
  test('pods, node and world reach each other as they should', async () => {
    const [one, two] = [await addPod('one'), await addPod('two')];
    await serve(one.netns, one.address, 80);
    await serve(pathOf(machine), network.gateway, 81);
    await serve(pathOf(world), '192.0.2.2', 82);
    expect(await ask(two.netns, one.address, 80)).toBe(two.address);
    expect(await ask(pathOf(machine), one.address, 80)).toBe(network.gateway);
    expect(await ask(one.netns, network.gateway, 81)).toBe(one.address);
    // Outside, pods appear as their node.
    expect(await ask(one.netns, '192.0.2.2', 82)).toBe('192.0.2.1');
  });

  test('nothing for the cluster leaves by the default route', async () => {
    const one = await addPod('one');
    // Were the fence down, the world would answer for these.
    ip('-n', world, 'addr', 'add', '10.244.7.7/32', 'dev', 'lo');
    ip('-n', world, 'addr', 'add', '10.96.7.7/32', 'dev', 'lo');
    await serve(pathOf(world), '0.0.0.0', 80);
    for (const from of [pathOf(machine), one.netns]) {
      await expect(ask(from, '10.244.7.7', 80)).rejects.toMatchObject({ code: 'unavailable' });
      await expect(ask(from, '10.96.7.7', 80)).rejects.toMatchObject({ code: 'unavailable' });
    }
    ip('-n', machine, 'link', 'set', 'wt0', 'down');
    await expect(ask(pathOf(machine), '10.96.7.7', 80)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(ask(pathOf(machine), '10.244.0.9', 80)).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('host ports answer from the world, the node, loopback, other pods and the pod itself', async () => {
    const one = await addPod('one', [
      { protocol: 'TCP', hostPort: 8080, containerPort: 80 },
      { protocol: 'TCP', hostPort: 8081, containerPort: 80, hostIp: '127.0.0.1' },
    ]);
    const two = await addPod('two');
    await serve(one.netns, '0.0.0.0', 80);
    expect(await ask(pathOf(world), '192.0.2.1', 8080)).toBe('192.0.2.2');
    expect(await ask(pathOf(machine), '127.0.0.1', 8080)).toBe(network.gateway);
    expect(await ask(pathOf(machine), '127.0.0.1', 8081)).toBe(network.gateway);
    expect(await ask(two.netns, '192.0.2.1', 8080)).toBe(two.address);
    expect(await ask(one.netns, '192.0.2.1', 8080)).toBe(network.gateway);
    await expect(ask(pathOf(world), '192.0.2.1', 8081)).rejects.toMatchObject({ code: 'unavailable' });
    await network.del(one);
    await expect(ask(pathOf(world), '192.0.2.1', 8080)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

test('the rules come back when somebody flushes the ruleset', async () => {
  const one = await addPod('one', [{ protocol: 'TCP', hostPort: 8080, containerPort: 80 }]);
  await serve(one.netns, '0.0.0.0', 80);
  using nftables = Nftables.open({ netns: pathOf(machine) });
  nftables.run('flush ruleset');
  await expect.poll(() => nftables.listText('list tables')).toContain('wherry-net-wt0');
  expect(await ask(pathOf(world), '192.0.2.1', 8080)).toBe('192.0.2.2');
});

describe('leases', () => {
  test('adding twice gives the same, an address that was freed is not the next', async () => {
    const one = await addPod('one');
    expect((await network.add({ id: 'one', netns: one.netns })).ips).toEqual([one.address]);
    await network.del(one);
    await network.del(one);
    const two = await addPod('two');
    expect([one.address, two.address]).toEqual(['10.244.0.2', '10.244.0.3']);
  });

  test('a second network on the folder after a kill takes everything over', async () => {
    const one = await addPod('one', [{ protocol: 'TCP', hostPort: 8080, containerPort: 80 }]);
    const gone = await addPod('gone');
    await serve(one.netns, '0.0.0.0', 80);
    network[Symbol.dispose]();
    network = await open();
    expect((await network.add({ id: 'one', netns: one.netns })).ips).toEqual([one.address]);
    expect(await ask(pathOf(world), '192.0.2.1', 8080)).toBe('192.0.2.2');
    await network.reconcile(new Set(['one']));
    expect(await readdir(join(stateDirectory, 'addresses'))).toEqual(expect.not.arrayContaining([gone.address]));
    using socket = NetlinkSocket.open({ netns: pathOf(machine) });
    expect(listLinks(socket).filter(({ kind, master }) => kind === 'veth' && master !== undefined)).toHaveLength(1);
  });

  test('a failed add leaves nothing behind', async () => {
    await addPod('one', [{ protocol: 'TCP', hostPort: 8080, containerPort: 80 }]);
    const netns = pathOf(makeNamespace('p'));
    const taken = { protocol: 'TCP', hostPort: 8080, containerPort: 1 } as const;
    await expect(network.add({ id: 'two', netns, portMappings: [taken] })).rejects.toMatchObject({
      code: 'conflict',
      message: 'host port 8080/TCP is in use by one',
    });
    expect(network.portHolder({ protocol: 'TCP', hostIp: '127.0.0.1', hostPort: 8080 })).toBe('pod one');
    expect(network.portHolder({ protocol: 'TCP', hostIp: '::', hostPort: 8080 })).toBeUndefined();
    // Of docker's containers.
    const elsewhere = { protocol: 'UDP', hostPort: 53, containerPort: 1 } as const;
    await expect(network.add({ id: 'two', netns, portMappings: [elsewhere] })).rejects.toMatchObject({
      code: 'conflict',
      message: 'host port 53/UDP is in use by container dns',
    });
    await expect(network.add({ id: 'two', netns, interfaceName: 'lo' })).rejects.toMatchObject({
      code: 'alreadyExists',
    });
    using socket = NetlinkSocket.open({ netns: pathOf(machine) });
    expect(listLinks(socket).filter(({ master }) => master !== undefined)).toHaveLength(1);
    expect(await readdir(join(stateDirectory, 'addresses'))).toHaveLength(2);
  });

  test('a full range says so', async () => {
    await network.destroy();
    network = await open({ podCidr: '10.244.0.0/29' });
    for (let i = 0; i < 5; i++) await addPod(`pod ${i}`);
    await expect(addPod('one more')).rejects.toMatchObject({ code: 'exhausted' });
  });
});

describe('the node', () => {
  test('is as before after destroy', async () => {
    await addPod('one', [{ protocol: 'UDP', hostPort: 8080, containerPort: 80 }]);
    expect(readNetworkSysctl('net.ipv4.ip_forward', pathOf(machine))).toBe('1');
    await network.destroy();
    using socket = NetlinkSocket.open({ netns: pathOf(machine) });
    using nftables = Nftables.open({ netns: pathOf(machine) });
    expect(nftables.list('list tables')).toEqual([]);
    expect(
      listLinks(socket)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(expect.not.arrayContaining(['wt0']));
    expect(listRoutes(socket).filter(({ destination }) => destination.startsWith('10.'))).toEqual([]);
    expect(readNetworkSysctl('net.ipv4.ip_forward', pathOf(machine))).toBe('0');
    expect(readNetworkSysctl('net.ipv4.conf.all.send_redirects', pathOf(machine))).toBe('1');
    await expect(readdir(stateDirectory)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('refuses ranges that are in use or make no sense', async () => {
    const other = { bridge: 'wt1', stateDirectory: join(stateDirectory, 'other') };
    await expect(open(other)).rejects.toMatchObject({ code: 'conflict' });
    const ranges = { podCidr: '192.0.2.0/25', clusterCidr: '192.0.2.0/24', serviceCidr: '10.97.0.0/16' };
    await expect(open({ ...other, ...ranges })).rejects.toMatchObject({ code: 'conflict' });
    await expect(open({ podCidr: '10.245.0.0/24' })).rejects.toMatchObject({ code: 'invalid' });
    await expect(open({ serviceCidr: '10.244.1.0/24' })).rejects.toMatchObject({ code: 'invalid' });
    await expect(open({ bridge: 'a"; flush ruleset' })).rejects.toMatchObject({ code: 'invalid' });
  });
});
