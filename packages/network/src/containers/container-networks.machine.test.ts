import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { silentLogger, systemRandom } from '@wherry/base';
import { createDnsServer } from '@wherry/dns';
import {
  bindUdpInNetns,
  dialInNetns,
  findLink,
  listenInNetns,
  listRoutes,
  NetlinkSocket,
  writeNetworkSysctl,
} from '@wherry/linux';
import { createTestMachine, type TestMachine } from '@wherry/testkit';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ConnectRequest, ContainerNetworks, CreateNetwork, PortRequest } from '../container-networks.ts';
import { type ContainerNetworksOptions, openContainerNetworks } from './open-container-networks.ts';

let machine: TestMachine;
let networks: ContainerNetworks;
let namespaces: string[];
let servers: Server[];

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const unreachable = { code: expect.stringMatching(/unavailable|timeout/) };

beforeEach(async () => {
  machine = await createTestMachine();
  namespaces = [];
  servers = [];
  networks = await open();
});

afterEach(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  await networks[Symbol.asyncDispose]();
  for (const name of namespaces) ip('netns', 'delete', name);
  await machine[Symbol.asyncDispose]();
});

function open(overrides: Partial<ContainerNetworksOptions> = {}): Promise<ContainerNetworks> {
  return openContainerNetworks({
    stateDirectory: join(machine.directory, 'networks'),
    table: 'wherry-test',
    defaultBridges: ['docker0', 'wherry-d0'],
    netns: machine.netns,
    startNameServer: createDnsServer,
    log: silentLogger,
    ...overrides,
  });
}

/** A namespace without an interface but loopback. */
function makeNamespace(): string {
  const name = `wt-${systemRandom.hex(8)}`;
  ip('netns', 'add', name);
  namespaces.push(name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
  return `/run/netns/${name}`;
}

const nameOf = (netns: string): string => netns.slice('/run/netns/'.length);

/** A namespace beyond the machine: the machine has 192.0.2.1 (2001:db8::1) towards it, it has 192.0.2.2. */
function makeWorld(): string {
  const world = makeNamespace();
  const [here, there] = [nameOf(machine.netns), nameOf(world)];
  ip('-n', here, 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'down0', 'netns', there);
  for (const [name, link, number] of [
    [here, 'up0', 1],
    [there, 'down0', 2],
  ] as const) {
    ip('-n', name, 'addr', 'add', `192.0.2.${number}/24`, 'dev', link);
    ip('-n', name, 'addr', 'add', `2001:db8::${number}/64`, 'dev', link, 'nodad');
    ip('-n', name, 'link', 'set', link, 'up');
  }
  ip('-n', here, 'route', 'add', 'default', 'via', '192.0.2.2');
  return world;
}

interface Container {
  readonly id: string;
  readonly name: string;
  readonly netns: string;
  readonly address: string;
}

async function run(name: string, network = 'bridge', more: Partial<ConnectRequest> = {}): Promise<Container> {
  const container = { id: systemRandom.hex(64), name, netns: makeNamespace() };
  return { ...container, address: await join_(container, network, more) };
}

/** Connects a running container to one more network; gives its address there. */
async function join_(
  { id, name, netns }: Omit<Container, 'address'>,
  network: string,
  more: Partial<ConnectRequest> = {},
): Promise<string> {
  const { ipv4, ipv6 } = await networks.connect(network, { containerId: id, containerName: name, netns, ...more });
  return ipv4?.address ?? ipv6?.address ?? '';
}

const create = (name: string, more: Partial<CreateNetwork> = {}) => networks.create({ name, ...more });
const withSubnet = (subnet: string, more: object = {}) => ({
  ipam: { driver: 'default', pools: [{ subnet, ...more }] },
});
const tcp = (containerPort: number, hostPort: PortRequest['hostPort'], hostIp?: string): PortRequest => ({
  protocol: 'TCP',
  containerPort,
  hostPort,
  hostIp,
});

/** A server that says who asked. */
async function serve(netns: string, address: string, port: number): Promise<void> {
  servers.push(await listenInNetns(netns, address, port, (socket) => socket.end(String(socket.remoteAddress))));
}

async function ask(netns: string, address: string, port: number, timeoutMs = 5000): Promise<string> {
  const socket = await dialInNetns(netns, address, port, { timeoutMs });
  return (await socket.setEncoding('utf8').toArray()).join('');
}

const refused = (netns: string, address: string, port: number) =>
  expect(ask(netns, address, port, 300)).rejects.toMatchObject(unreachable);

/** A datagram there and back. */
async function askUdp(netns: string, address: string, port: number): Promise<string> {
  const socket = await bindUdpInNetns(netns, address.includes(':') ? '::' : '0.0.0.0', 0);
  try {
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(3000) });
    socket.send('who', port, address);
    return String((await answer)[0]);
  } finally {
    socket.close();
  }
}

describe('the default bridge', () => {
  test('connects containers with each other and the machine', async () => {
    const [one, two] = [await run('one'), await run('two')];
    expect([one.address, two.address]).toEqual(['172.17.0.2', '172.17.0.3']);
    expect(networks.endpoints(one.id)[0]).toMatchObject({
      interfaceName: 'eth0',
      mac: '02:42:ac:11:00:02',
      dnsNames: [],
    });
    expect(ip('-n', nameOf(one.netns), '-o', 'addr', 'show', 'eth0')).toMatch(
      /^\S+ eth0 +inet 172.17.0.2\/16 brd 172.17.255.255 scope global eth0[^\n]*\n$/,
    );
    await serve(one.netns, one.address, 80);
    await serve(machine.netns, '172.17.0.1', 81);
    expect(await ask(two.netns, one.address, 80)).toBe(two.address);
    expect(await ask(machine.netns, one.address, 80)).toBe('172.17.0.1');
    expect(await ask(two.netns, '172.17.0.1', 81)).toBe(two.address);
    await networks.disconnect('bridge', one.id, one.netns);
    await networks.disconnect('bridge', one.id, one.netns);
    expect(networks.endpoints(one.id)).toEqual([]);
    await refused(two.netns, one.address, 80);
    expect((await run('three')).address).toBe(one.address);
  });

  test('gives what is asked for, and nothing stays of what fails', async () => {
    const one = await run('one', 'bridge', { mac: '02-42-AC-11-00-99', interfaceName: 'net5' });
    expect(ip('-n', nameOf(one.netns), '-o', 'link', 'show', 'net5')).toContain('02:42:ac:11:00:99');
    await expect(join_(one, 'bridge')).rejects.toMatchObject({
      code: 'forbidden',
      message: 'endpoint with name one already exists in network bridge',
    });
    await expect(run('two', 'bridge', { ipv4: '172.17.0.9' })).rejects.toMatchObject({
      message: 'user specified IP address is supported on user defined networks only',
    });
    await expect(run('two', 'nosuch')).rejects.toMatchObject({ code: 'notFound', message: 'network nosuch not found' });
    await create('other');
    await expect(join_(one, 'other', { interfaceName: 'net5' })).rejects.toMatchObject({ code: 'alreadyExists' });
    expect(networks.endpoints(one.id)).toHaveLength(1);
    expect(networks.endpointsOf('other')).toEqual([]);
    expect(ip('-n', nameOf(one.netns), '-o', 'link')).toContain('net5');
    expect(await join_(one, 'other')).toBe('172.18.0.2');
  });

  test('tells the neighbours who has an address now', async () => {
    const [one, client] = [await run('one', 'bridge', { mac: '02:42:00:00:00:01' }), await run('client')];
    await serve(one.netns, one.address, 80);
    for (const from of [client.netns, machine.netns]) expect(await ask(from, one.address, 80)).not.toBe('');
    await networks.disconnect('bridge', one.id, one.netns);
    const two = await run('two', 'bridge', { mac: '02:42:00:00:00:02' });
    expect(two.address).toBe(one.address);
    await serve(two.netns, two.address, 80);
    // Without being told they would ask the old one for seconds.
    for (const from of [client.netns, machine.netns]) expect(await ask(from, two.address, 80, 900)).not.toBe('');
  });

  test('takes another name and range when those are in use', async () => {
    const other = await open({ stateDirectory: join(machine.directory, 'other'), table: 'wherry-other' });
    try {
      await run('one');
      const id = systemRandom.hex(64);
      await other.connect('bridge', { containerId: id, containerName: 'x', netns: makeNamespace() });
      const bridge = other.find('bridge');
      expect(bridge).toMatchObject({ bridge: 'wherry-d0', options: { 'com.docker.network.bridge.name': 'wherry-d0' } });
      expect(bridge?.ipam.pools).toEqual([{ subnet: '172.18.0.0/16', gateway: '172.18.0.1' }]);
      await other.destroy();
    } finally {
      await other[Symbol.asyncDispose]();
    }
    expect(networks.find('bridge')?.bridge).toBe('docker0');
  });

  test('host and none are places without an address', async () => {
    const [host, none] = [await run('one', 'host'), await run('two', 'none')];
    expect(networks.endpoints(host.id)).toMatchObject([{ interfaceName: '', mac: '', ipv4: undefined }]);
    expect(networks.endpointsOf('none').map(({ containerName }) => containerName)).toEqual(['two']);
    await networks.disconnect('none', none.id, none.netns);
    expect(networks.endpoints(none.id)).toEqual([]);
  });
});

describe('user networks', () => {
  test('have bridges, ranges and names of their own, and are walled off', async () => {
    const world = makeWorld();
    const { bridge, id } = await create('n1');
    expect(bridge).toBe(`br-${id.slice(0, 12)}`);
    await create('n2', {
      ...withSubnet('10.77.0.0/24', { ipRange: '10.77.0.128/25', gateway: '10.77.0.1' }),
      labels: { a: 'b' },
    });
    const [one, two, three] = [await run('one', 'n1'), await run('two', 'n2'), await run('three')];
    expect([one.address, two.address]).toEqual(['172.18.0.2', '10.77.0.128']);
    for (const { netns } of [one, two, three]) await serve(netns, '0.0.0.0', 80);
    await serve(world, '192.0.2.2', 80);
    for (const from of [one, two, three]) {
      // Out by the machine's address; the others neither way.
      expect(await ask(from.netns, '192.0.2.2', 80)).toBe('192.0.2.1');
      for (const to of [one, two, three]) if (to !== from) await refused(from.netns, to.address, 80);
      expect(await ask(machine.netns, from.address, 80)).toMatch(/\.1$/);
    }
    // Who knows the way from outside gets no answer either, and a container does not reach the machine's loopback.
    ip('-n', nameOf(world), 'route', 'add', '10.77.0.0/24', 'via', '192.0.2.1');
    await refused(world, two.address, 80);
    await serve(machine.netns, '127.0.0.1', 90);
    ip('-n', nameOf(two.netns), 'addr', 'del', '127.0.0.1/8', 'dev', 'lo');
    ip('-n', nameOf(two.netns), 'route', 'add', '127.0.0.1', 'via', '10.77.0.1', 'dev', 'eth0', 'src', two.address);
    await refused(two.netns, '127.0.0.1', 90);
    // A container in both reaches both.
    expect(await join_(one, 'n2')).toBe('10.77.0.129');
    expect(await ask(one.netns, two.address, 80)).toBe('10.77.0.129');
  });

  test('pods and containers do not reach each other', async () => {
    await networks[Symbol.asyncDispose]();
    networks = await open({ walls: ['pods0'] });
    const pod = makeNamespace();
    const here = nameOf(machine.netns);
    ip('-n', here, 'link', 'add', 'pods0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', nameOf(pod));
    ip('-n', here, 'addr', 'add', '10.244.0.1/24', 'dev', 'pods0');
    ip('-n', here, 'link', 'set', 'pods0', 'up');
    ip('-n', nameOf(pod), 'addr', 'add', '10.244.0.2/24', 'dev', 'eth0');
    ip('-n', nameOf(pod), 'link', 'set', 'eth0', 'up');
    ip('-n', nameOf(pod), 'route', 'add', 'default', 'via', '10.244.0.1');
    const one = await run('one');
    await serve(pod, '10.244.0.2', 80);
    await serve(one.netns, '0.0.0.0', 80);
    await refused(one.netns, '10.244.0.2', 80);
    await refused(pod, one.address, 80);
    await networks.publish(one.id, [tcp(80, 8080)]);
    expect(await ask(pod, '10.244.0.1', 8080)).toBe('10.244.0.2');
  });

  test('internal ones lead nowhere', async () => {
    const world = makeWorld();
    await create('in', { internal: true });
    const [one, two] = [await run('one', 'in'), await run('two', 'in')];
    expect(ip('-n', nameOf(one.netns), 'route')).not.toContain('default');
    expect(networks.endpoints(one.id)[0]?.ipv4?.gateway).toBeUndefined();
    await serve(two.netns, '0.0.0.0', 80);
    await serve(world, '192.0.2.2', 80);
    expect(await ask(one.netns, two.address, 80)).toBe(one.address);
    await refused(one.netns, '192.0.2.2', 80);
    // Not even for who makes himself a route.
    ip('-n', nameOf(one.netns), 'route', 'add', 'default', 'via', '172.18.0.1');
    await refused(one.netns, '192.0.2.2', 80);
    expect(await networks.publish(two.id, [tcp(80, 8080)])).toEqual([]);
  });

  test.each(['0', '1'])('without icc containers meet only by what is published (br_netfilter %s)', async (filter) => {
    writeNetworkSysctl('net.bridge.bridge-nf-call-iptables', filter, machine.netns);
    await create('apart', { options: { 'com.docker.network.bridge.enable_icc': 'false' } });
    const [one, two] = [await run('one', 'apart'), await run('two', 'apart')];
    await serve(one.netns, '0.0.0.0', 80);
    await refused(two.netns, one.address, 80);
    expect(await ask(machine.netns, one.address, 80)).toBe('172.18.0.1');
    await networks.publish(one.id, [tcp(80, 8080)]);
    expect(await ask(two.netns, '172.18.0.1', 8080)).not.toBe('');
  });

  test('with IPv6, also without IPv4', async () => {
    const world = makeWorld();
    await create('six', { enableIPv6: true, ...withSubnet('fd00:77::/64') });
    await create('only', { enableIPv4: false, enableIPv6: true });
    const [one, two] = [await run('one', 'six'), await run('two', 'only')];
    const ipv6 = networks.endpoints(one.id)[0]?.ipv6;
    expect(ipv6).toEqual({ address: 'fd00:77::2', prefix: 64, gateway: 'fd00:77::1' });
    expect(two.address).toMatch(/^fd[0-9a-f]{2}:.*::2$/);
    expect(networks.find('only')?.ipam.pools).toHaveLength(1);
    await serve(world, '2001:db8::2', 80);
    for (const { netns } of [one, two]) {
      await serve(netns, '::', 80);
      expect(await ask(netns, '2001:db8::2', 80)).toBe('2001:db8::1');
    }
    await refused(one.netns, two.address, 80);
    expect(await ask(machine.netns, two.address, 80)).not.toBe('');
    const [port] = await networks.publish(one.id, [tcp(80, 8080, '::')]);
    expect(port).toEqual({ protocol: 'TCP', containerPort: 80, hostIp: '::', hostPort: 8080 });
    expect(await ask(world, '2001:db8::1', 8080)).toBe('2001:db8::2');
    expect(await ask(machine.netns, '::1', 8080)).not.toBe('');
  });

  test('a macvlan interface is on its parent’s link', async () => {
    const world = makeWorld();
    await create('mac', {
      driver: 'macvlan',
      options: { parent: 'up0' },
      ...withSubnet('192.0.2.0/24', { gateway: '192.0.2.2', ipRange: '192.0.2.128/25' }),
    });
    const one = await run('one', 'mac');
    expect(one.address).toBe('192.0.2.128');
    await serve(world, '192.0.2.2', 80);
    expect(await ask(one.netns, '192.0.2.2', 80)).toBe('192.0.2.128');
    expect(ip('-n', nameOf(one.netns), 'route')).toContain('default via 192.0.2.2');
    await networks.disconnect('mac', one.id, one.netns);
    await networks.remove('mac');
    await create('alone', { driver: 'macvlan' });
    const [two, three] = [await run('two', 'alone'), await run('three', 'alone')];
    await serve(two.netns, '0.0.0.0', 80);
    expect(await ask(three.netns, two.address, 80)).toBe(three.address);
  });

  test('are made, found and removed in docker’s words', async () => {
    const { id } = await create('n1', { options: { 'com.docker.network.bridge.name': 'brn1' } });
    expect(networks.find('brn1')).toBeUndefined();
    for (const reference of [id, id.slice(0, 12), 'n1']) expect(networks.find(reference)?.name).toBe('n1');
    expect(networks.find('')).toBeUndefined();
    using socket = NetlinkSocket.open({ netns: machine.netns });
    expect(findLink(socket, 'brn1')?.kind).toBe('bridge');
    await expect(create('n1')).rejects.toMatchObject({ code: 'alreadyExists' });
    await expect(create('n2', { options: { 'com.docker.network.bridge.name': 'brn1' } })).rejects.toThrow(
      'networks have same bridge name',
    );
    await expect(create('n2', { options: { 'com.docker.network.bridge.name': 'lo' } })).rejects.toThrow('not a bridge');
    expect(networks.list().map(({ name }) => name)).toEqual(expect.not.arrayContaining(['n2']));
    const one = await run('one', 'n1');
    await expect(networks.remove('n1')).rejects.toMatchObject({
      code: 'forbidden',
      message: `error while removing network: network n1 id ${id} has active endpoints`,
    });
    await networks.disconnect('n1', one.id, one.netns);
    await networks.remove('n1');
    expect(findLink(socket, 'brn1')).toBeUndefined();
    expect(listRoutes(socket).map(({ destination }) => destination)).not.toContain('172.18.0.0/16');
    await expect(networks.remove('n1')).rejects.toMatchObject({ code: 'notFound', message: 'network n1 not found' });
    await expect(networks.remove('bridge')).rejects.toMatchObject({
      code: 'forbidden',
      message: 'bridge is a pre-defined network and cannot be removed',
    });
  });

  test('nothing for a subnet leaves by the default route', async () => {
    const world = makeWorld();
    await create('n1');
    ip('-n', nameOf(world), 'addr', 'add', '172.18.0.9/32', 'dev', 'lo');
    ip('-n', nameOf(world), 'addr', 'add', '172.17.0.9/32', 'dev', 'lo');
    await serve(world, '0.0.0.0', 80);
    ip('-n', nameOf(machine.netns), 'link', 'del', networks.find('n1')!.bridge!);
    await refused(machine.netns, '172.18.0.9', 80);
    await refused(machine.netns, '172.17.0.9', 80);
    // Somebody deleted the bridge: it is there again when it is needed.
    expect((await run('one', 'n1')).address).toBe('172.18.0.2');
  });
});

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
    await join_(one, 'cc');
    expect(route()).toBe('172.19.0.1 eth0');
    await join_(one, 'aa');
    expect(route()).toBe('172.18.0.1 eth2');
    await networks.disconnect('cc', one.id, one.netns);
    await join_(one, 'cc', { gatewayPriority: 1 });
    expect(route()).toBe('172.20.0.1 eth1');
    expect(networks.endpoints(one.id).map(({ network }) => network.name)).toEqual(['cc', 'aa', 'bb']);
    // Published ports lead through the same network.
    await serve(one.netns, '0.0.0.0', 80);
    await networks.publish(one.id, [tcp(80, 8080)]);
    const world = makeWorld();
    expect(await ask(world, '192.0.2.1', 8080)).toBe('192.0.2.2');
    await networks.disconnect('cc', one.id, one.netns);
    expect(route()).toBe('172.18.0.1 eth2');
    expect(await ask(world, '192.0.2.1', 8080)).toBe('192.0.2.2');
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
    await expect(networks.publish(two.id, [tcp(80, 8080, '127.0.0.1')])).rejects.toThrow('127.0.0.1:8080 failed');
    // Another program cannot take it, even one that shares.
    await expect(listenInNetns(machine.netns, '0.0.0.0', 8080, () => undefined)).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(bindUdpInNetns(machine.netns, '127.0.0.1', 5353)).rejects.toMatchObject({ code: 'conflict' });
    await serve(machine.netns, '127.0.0.1', 7000);
    await expect(networks.publish(two.id, [tcp(80, 7001), tcp(80, 7000)])).rejects.toMatchObject({
      message: `${prefix}listen tcp4 0.0.0.0:7000: bind: address already in use`,
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
        const heard = once(socket, 'message', { signal: AbortSignal.timeout(3000) });
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
    await join_(one, 'bridge');
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

  test('internal networks ask nobody else', async () => {
    await create('in', { internal: true });
    const [one, two] = [await run('one', 'in'), await run('two', 'in')];
    await using _ = await networks.serveNames({ containerId: one.id, netns: one.netns, upstream: ['192.0.2.2'] });
    expect(await resolve(one.netns, 'two')).toBe(`NOERROR ${two.address}`);
    expect(await resolve(one.netns, 'two', 'AAAA')).toBe('NOERROR');
    expect(await resolve(one.netns, 'example.org')).toBe('SERVFAIL');
  });
});

describe('a machine that changes', () => {
  test('rules that somebody flushed are put back', async () => {
    await create('n1');
    const [one, two] = [await run('one'), await run('two', 'n1')];
    await serve(one.netns, '0.0.0.0', 80);
    await networks.publish(one.id, [tcp(80, 8080)]);
    const rules = () => machine.run('nft', ['list', 'table', 'inet', 'wherry-test']).then(({ stdout }) => stdout);
    const before = await rules();
    await machine.run('nft', ['flush', 'ruleset']);
    // Meanwhile this process carries what comes.
    expect(await ask(machine.netns, '127.0.0.1', 8080)).not.toBe('');
    await vi.waitFor(async () => expect((await rules()).split('\n').sort()).toEqual(before.split('\n').sort()), 5000);
    await refused(two.netns, one.address, 80);
    expect(await ask(two.netns, '172.17.0.1', 8080)).not.toBe('');
  });

  test('what was there is there after a restart, and what is gone is freed', async () => {
    await create('n1', { enableIPv6: true });
    const [one, two, three] = [await run('one', 'n1'), await run('two'), await run('three')];
    await serve(one.netns, '0.0.0.0', 80);
    await networks.publish(one.id, [tcp(80, 8080)]);
    await networks.publish(two.id, [tcp(80, 8081)]);
    const before = networks.list();
    await networks[Symbol.asyncDispose]();
    // While nobody runs the rules go on, and come back when they were lost.
    expect(await ask(machine.netns, '127.0.0.1', 8080)).not.toBe('');
    await machine.run('nft', ['flush', 'ruleset']);
    // Somebody else's port now, until it ends.
    networks = await open();
    expect(new Set(networks.list())).toEqual(new Set(before));
    expect(networks.published(one.id)).toHaveLength(2);
    expect(await ask(machine.netns, '127.0.0.1', 8080)).not.toBe('');
    await expect(listenInNetns(machine.netns, '0.0.0.0', 8080, () => undefined)).rejects.toMatchObject({
      code: 'conflict',
    });
    ip('netns', 'delete', nameOf(two.netns));
    namespaces = namespaces.filter((name) => name !== nameOf(two.netns));
    await networks.reconcile(new Set([one.id, three.id]));
    expect(networks.endpoints(two.id)).toEqual([]);
    expect(networks.published(two.id)).toEqual([]);
    expect(networks.endpoints(one.id)).toHaveLength(1);
    expect((await run('four')).address).toBe(two.address);
    await networks.publish(three.id, [tcp(80, 8081)]);
  });

  test('a connection that a kill cut in half is made whole, and a stray interface goes', async () => {
    const [one, two] = [await run('one'), await run('two')];
    await serve(one.netns, '0.0.0.0', 80);
    // As between the record and the interface.
    ip('-n', nameOf(one.netns), 'link', 'del', 'eth0');
    await networks[Symbol.asyncDispose]();
    ip(
      '-n',
      nameOf(machine.netns),
      'link',
      'add',
      'wc0123456789abc',
      'master',
      'docker0',
      'type',
      'veth',
      'peer',
      'name',
      'wcpeer',
    );
    networks = await open();
    await networks.reconcile(new Set([one.id, two.id]));
    expect(await ask(two.netns, one.address, 80)).toBe(two.address);
    expect(ip('-n', nameOf(machine.netns), 'link')).not.toContain('wc0123456789abc');
  });

  test('destroy leaves nothing on the machine, and the records of networks', async () => {
    await create('n1', { enableIPv6: true });
    const facts = () => [
      ip('-n', nameOf(machine.netns), 'route'),
      ip('-n', nameOf(machine.netns), '-6', 'route'),
      ip('-n', nameOf(machine.netns), '-o', 'link').replace(/^\d+: lo.*\n/, ''),
    ];
    const one = await run('one', 'n1');
    await run('two');
    await networks.publish(one.id, [tcp(80, 8080)]);
    await networks.destroy();
    expect(facts()).toEqual(['', '', '']);
    expect((await machine.run('nft', ['list', 'ruleset'])).stdout).toBe('');
    expect((await machine.run('cat', ['/proc/sys/net/ipv4/ip_forward'])).stdout).toBe('0\n');
    await networks[Symbol.asyncDispose]();
    networks = await open();
    expect(networks.find('n1')).toBeDefined();
    expect(networks.endpointsOf('n1')).toEqual([]);
  });
});
