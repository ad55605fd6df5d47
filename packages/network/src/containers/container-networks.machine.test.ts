import { execFileSync } from 'node:child_process';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { silentLogger, systemRandom } from '@wherry/base';
import { createDnsServer } from '@wherry/dns';
import { dialInNetns, listenInNetns } from '@wherry/linux';
import { createTestMachine, type TestMachine } from '@wherry/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ConnectRequest, ContainerNetworks } from '../container-networks.ts';
import { type ContainerNetworksOptions, openContainerNetworks } from './open-container-networks.ts';

let machine: TestMachine;
let networks: ContainerNetworks;
let namespaces: string[];
let servers: Server[];

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

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

async function run(containerName: string, network = 'bridge', more: Partial<ConnectRequest> = {}) {
  const netns = makeNamespace();
  const id = systemRandom.hex(64);
  const endpoint = await networks.connect(network, { containerId: id, containerName, netns, ...more });
  return { id, netns, endpoint, address: endpoint.ipv4?.address ?? '' };
}

/** A server that says who asked. */
async function serve(netns: string, address: string, port: number): Promise<void> {
  servers.push(await listenInNetns(netns, address, port, (socket) => socket.end(String(socket.remoteAddress))));
}

async function ask(netns: string, address: string, port: number): Promise<string> {
  const socket = await dialInNetns(netns, address, port, { timeoutMs: 1500 });
  return (await socket.setEncoding('utf8').toArray()).join('');
}

describe('the default bridge', () => {
  test('connects containers with each other and the machine', async () => {
    const [one, two] = [await run('one'), await run('two')];
    expect([one.address, two.address]).toEqual(['172.17.0.2', '172.17.0.3']);
    expect(one.endpoint).toMatchObject({ interfaceName: 'eth0', mac: '02:42:ac:11:00:02', dnsNames: [] });
    await serve(one.netns, one.address, 80);
    await serve(machine.netns, '172.17.0.1', 81);
    expect(await ask(two.netns, one.address, 80)).toBe(two.address);
    expect(await ask(machine.netns, one.address, 80)).toBe('172.17.0.1');
    expect(await ask(two.netns, '172.17.0.1', 81)).toBe(two.address);
    await networks.disconnect('bridge', one.id, one.netns);
    await networks.disconnect('bridge', one.id, one.netns);
    expect(networks.endpoints(one.id)).toEqual([]);
    await expect(ask(two.netns, one.address, 80)).rejects.toMatchObject({
      code: expect.stringMatching(/unavailable|timeout/),
    });
    expect((await run('three')).address).toBe(one.address);
  });

  test('publishes a TCP port', async () => {
    const [one, two] = [await run('one'), await run('two')];
    await serve(one.netns, '0.0.0.0', 80);
    const published = await networks.publish(one.id, [{ protocol: 'TCP', containerPort: 80, hostPort: 8080 }]);
    expect(published).toEqual([
      { protocol: 'TCP', containerPort: 80, hostIp: '0.0.0.0', hostPort: 8080 },
      { protocol: 'TCP', containerPort: 80, hostIp: '::', hostPort: 8080 },
    ]);
    expect(await ask(machine.netns, '127.0.0.1', 8080)).toBe('172.17.0.1');
    expect(await ask(machine.netns, '::1', 8080)).toBe('172.17.0.1');
    expect(await ask(two.netns, '172.17.0.1', 8080)).not.toBe('');
    expect(await ask(one.netns, '172.17.0.1', 8080)).not.toBe('');
    await networks.unpublish(one.id);
    await expect(ask(machine.netns, '127.0.0.1', 8080)).rejects.toMatchObject({ code: 'unavailable' });
  });
});
