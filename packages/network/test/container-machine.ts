import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { silentLogger, systemRandom } from '@wherry/base';
import { createDnsServer } from '@wherry/dns';
import { bindUdpInNetns, dialInNetns, listenInNetns } from '@wherry/linux';
import { createTestMachine, type TestMachine } from '@wherry/testkit';
import { afterEach, beforeEach, expect } from 'vitest';
import type { ConnectRequest, ContainerNetworks, CreateNetwork, PortRequest } from '../src/container-networks.ts';
import { type ContainerNetworksOptions, openContainerNetworks } from '../src/containers/open-container-networks.ts';

// Whoever imports this has a machine with docker's networks for each of its tests.

export let machine: TestMachine;
export let networks: ContainerNetworks;
let namespaces: string[];
export let servers: Server[];

export const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
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

export function open(overrides: Partial<ContainerNetworksOptions> = {}): Promise<ContainerNetworks> {
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
export function makeNamespace(): string {
  const name = `wt-${systemRandom.hex(8)}`;
  ip('netns', 'add', name);
  namespaces.push(name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
  return `/run/netns/${name}`;
}

export const nameOf = (netns: string): string => netns.slice('/run/netns/'.length);

/** A namespace beyond the machine: the machine has 192.0.2.1 (2001:db8::1) towards it, it has 192.0.2.2. */
export function makeWorld(): string {
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

export interface Container {
  readonly id: string;
  readonly name: string;
  readonly netns: string;
  readonly address: string;
}

export async function run(name: string, network = 'bridge', more: Partial<ConnectRequest> = {}): Promise<Container> {
  const container = { id: systemRandom.hex(64), name, netns: makeNamespace() };
  return { ...container, address: await joinNetwork(container, network, more) };
}

/** Connects a running container to one more network; gives its address there. */
export async function joinNetwork(
  { id, name, netns }: Omit<Container, 'address'>,
  network: string,
  more: Partial<ConnectRequest> = {},
): Promise<string> {
  const { ipv4, ipv6 } = await networks.connect(network, { containerId: id, containerName: name, netns, ...more });
  return ipv4?.address ?? ipv6?.address ?? '';
}

export const create = (name: string, more: Partial<CreateNetwork> = {}) => networks.create({ name, ...more });
export const withSubnet = (subnet: string, more: object = {}) => ({
  ipam: { driver: 'default', pools: [{ subnet, ...more }] },
});
export const tcp = (containerPort: number, hostPort: PortRequest['hostPort'], hostIp?: string): PortRequest => ({
  protocol: 'TCP',
  containerPort,
  hostPort,
  hostIp,
});

/** A server that says who asked. */
export async function serve(netns: string, address: string, port: number): Promise<void> {
  servers.push(await listenInNetns(netns, address, port, (socket) => socket.end(String(socket.remoteAddress))));
}

export async function ask(netns: string, address: string, port: number, timeoutMs = 5000): Promise<string> {
  const socket = await dialInNetns(netns, address, port, { timeoutMs });
  return (await socket.setEncoding('utf8').toArray()).join('');
}

export const refused = (netns: string, address: string, port: number) =>
  expect(ask(netns, address, port, 300)).rejects.toMatchObject(unreachable);

/** A datagram there and back. */
export async function askUdp(netns: string, address: string, port: number): Promise<string> {
  const socket = await bindUdpInNetns(netns, address.includes(':') ? '::' : '0.0.0.0', 0);
  try {
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(3000) });
    socket.send('who', port, address);
    return String((await answer)[0]);
  } finally {
    socket.close();
  }
}

/** The daemon ends and starts again, or with other options. */
export async function restart(
  overrides: Partial<ContainerNetworksOptions> = {},
  meanwhile?: () => unknown,
): Promise<void> {
  await networks[Symbol.asyncDispose]();
  await meanwhile?.();
  networks = await open(overrides);
}

/** A container's namespace ends. */
export function endNamespace(netns: string): void {
  ip('netns', 'delete', nameOf(netns));
  namespaces = namespaces.filter((name) => name !== nameOf(netns));
}
