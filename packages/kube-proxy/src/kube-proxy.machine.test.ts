import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1EndpointSlice, V1Service } from '@wherry/api';
import { silentLogger, systemRandom, VirtualClock } from '@wherry/base';
import type { Change, Informer, InformerFactory, KubeObject } from '@wherry/client';
import { bindUdpInNetns, dialInNetns, listenInNetns, Nftables } from '@wherry/linux';
import { type BridgeNetwork, createBridgeNetwork } from '@wherry/network';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createKubeProxy, type KubeProxy } from './kube-proxy.ts';

/** A local copy that the test fills by hand. */
class HandInformer<T extends KubeObject> implements Informer<T> {
  readonly synced = Promise.resolve();
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Set<(change: Change<T>) => void>();
  indexes: Readonly<Record<string, (object: T) => readonly string[]>> = {};
  get(key: string): T | undefined {
    return this.#objects.get(key);
  }
  list(): readonly T[] {
    return [...this.#objects.values()];
  }
  byIndex(index: string, value: string): readonly T[] {
    return this.list().filter((object) => this.indexes[index]!(object).includes(value));
  }
  onChange(handler: (change: Change<T>) => void): Disposable {
    this.#handlers.add(handler);
    for (const object of this.list()) handler({ type: 'added', object });
    return { [Symbol.dispose]: () => this.#handlers.delete(handler) };
  }
  put(object: T): void {
    const key = `${object.metadata!.namespace}/${object.metadata!.name}`;
    const previous = this.get(key);
    this.#objects.set(key, object);
    for (const tell of this.#handlers)
      tell(previous ? { type: 'updated', object, previous } : { type: 'added', object });
  }
  remove(key: string): void {
    const object = this.get(key);
    if (!object) return;
    this.#objects.delete(key);
    for (const tell of this.#handlers) tell({ type: 'deleted', object });
  }
}

const ip = (...args: string[]): void => void execFileSync('ip', args);
const pathOf = (name: string): string => `/run/netns/${name}`;
const namespaces: string[] = [];
const servers: Server[] = [];
const services = new HandInformer<V1Service>();
const slices = new HandInformer<V1EndpointSlice>();
const clock = new VirtualClock();
const stop = new AbortController();
let machine: string;
let world: string;
let stateDirectory: string;
let network: BridgeNetwork;
let proxy: KubeProxy;
let running: Promise<void>;
let one: Pod;
let two: Pod;
let client: Pod;

interface Pod {
  readonly netns: string;
  readonly address: string;
}

function makeNamespace(kind: string): string {
  const name = `wt-${systemRandom.hex(6)}${kind}`;
  ip('netns', 'add', name);
  namespaces.push(name);
  return name;
}

async function addPod(id: string): Promise<Pod> {
  const netns = pathOf(makeNamespace('p'));
  const { ips } = await network.add({ id, netns });
  const address = ips[0]!;
  servers.push(await listenInNetns(netns, '0.0.0.0', 80, (socket) => socket.end(`${id} ${socket.remoteAddress}`)));
  return { netns, address };
}

beforeAll(async () => {
  machine = makeNamespace('m');
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
  // The world routes a balancer's address to the machine.
  ip('-n', world, 'route', 'add', '203.0.113.9', 'via', '192.0.2.1');
  stateDirectory = await mkdtemp(join(tmpdir(), 'wherry-proxy-'));
  const ranges = { podCidr: '10.244.0.0/24', clusterCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/16' };
  network = await createBridgeNetwork({
    bridge: 'wt0',
    ...ranges,
    stateDirectory,
    netns: pathOf(machine),
    log: silentLogger,
  });
  [one, two, client] = [await addPod('one'), await addPod('two'), await addPod('client')];
  const informers: InformerFactory = {
    informer: (resource, options) => {
      const informer = (resource.resource === 'services' ? services : slices) as HandInformer<KubeObject>;
      if (options?.indexes) informer.indexes = options.indexes as HandInformer<KubeObject>['indexes'];
      return informer as unknown as Informer<never>;
    },
    run: () => Promise.resolve(),
  };
  const settings = { nodeName: 'here', clusterCidr: ranges.clusterCidr, serviceCidr: ranges.serviceCidr };
  proxy = createKubeProxy({ informers, ...settings, netns: pathOf(machine), log: silentLogger, clock });
  running = proxy.run(stop.signal);
  await proxy.synced;
});

afterAll(async () => {
  stop.abort();
  await running;
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  network[Symbol.dispose]();
  for (const name of namespaces) ip('netns', 'del', name);
  await rm(stateDirectory, { recursive: true, force: true });
});

beforeEach(async () => {
  for (const { metadata } of services.list()) services.remove(`a/${metadata!.name}`);
  for (const { metadata } of slices.list()) slices.remove(`a/${metadata!.name}`);
  await clock.advance(10);
});

async function serve(
  name: string,
  spec: V1Service['spec'],
  pods: readonly (Pod & { node?: string; ready?: boolean })[],
) {
  services.put({ metadata: { namespace: 'a', name }, spec: { type: 'ClusterIP', ports: [{ port: 80 }], ...spec } });
  endpoints(name, pods);
  await clock.advance(10);
}

function endpoints(name: string, pods: readonly (Pod & { node?: string; ready?: boolean })[], protocol = 'TCP'): void {
  slices.put({
    addressType: 'IPv4',
    metadata: { namespace: 'a', name: `${name}-x`, labels: { 'kubernetes.io/service-name': name } },
    ports: [{ name: '', port: 80, protocol }],
    endpoints: pods.map(({ address, node = 'here', ready = true }) => ({
      addresses: [address],
      nodeName: node,
      conditions: { ready },
    })),
  });
}

async function ask(from: string, address: string, port = 80): Promise<string> {
  const socket = await dialInNetns(from, address, port, { timeoutMs: 1500 });
  return (await socket.setEncoding('utf8').toArray()).join('');
}

async function askOften(from: string, address: string, port = 80): Promise<string[]> {
  const answers = new Set<string>();
  for (let i = 0; i < 24; i++) answers.add(await ask(from, address, port));
  return [...answers].sort();
}

describe('cluster IPs', () => {
  test('lead pods and local processes to ready endpoints', async () => {
    await serve('web', { clusterIP: '10.96.0.10' }, [one, two, { ...client, ready: false }]);
    expect(await askOften(client.netns, '10.96.0.10')).toEqual([`one ${client.address}`, `two ${client.address}`]);
    expect(await askOften(pathOf(machine), '10.96.0.10')).toEqual(['one 10.244.0.1', 'two 10.244.0.1']);
  });

  test('work for an endpoint that reaches itself', async () => {
    await serve('web', { clusterIP: '10.96.0.10' }, [one]);
    expect(await ask(one.netns, '10.96.0.10')).toBe('one 10.244.0.1');
  });

  test('follow their endpoints, refuse without any, and vanish', async () => {
    await serve('web', { clusterIP: '10.96.0.10' }, []);
    await expect(ask(client.netns, '10.96.0.10')).rejects.toMatchObject({ code: 'unavailable' });
    await serve('web', { clusterIP: '10.96.0.10' }, [two]);
    expect(await ask(client.netns, '10.96.0.10')).toBe(`two ${client.address}`);
    await serve('web', { clusterIP: '10.96.0.11' }, [one]);
    expect(await ask(client.netns, '10.96.0.11')).toBe(`one ${client.address}`);
    for (const gone of ['10.96.0.10', '10.96.0.99']) {
      await expect(ask(client.netns, gone)).rejects.toMatchObject({ code: 'unavailable' });
      await expect(ask(pathOf(machine), gone)).rejects.toMatchObject({ code: 'unavailable' });
    }
    await expect(ask(client.netns, '10.96.0.11', 81)).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('keep a client at its endpoint with session affinity', async () => {
    const spec = { clusterIP: '10.96.0.10', sessionAffinity: 'ClientIP' };
    await serve('web', spec, [one, two]);
    const first = await ask(client.netns, '10.96.0.10');
    // Another endpoint joins: who had one keeps it.
    await serve('web', spec, [one, two, client]);
    expect(await askOften(client.netns, '10.96.0.10')).toEqual([first]);
    await serve('web', spec, [first.startsWith('one') ? two : one]);
    expect((await askOften(client.netns, '10.96.0.10'))[0]).not.toBe(first);
  });

  test('stay on the node with a local internal policy', async () => {
    const spec = { clusterIP: '10.96.0.10', internalTrafficPolicy: 'Local' };
    await serve('web', spec, [one, { ...two, node: 'elsewhere' }]);
    expect(await askOften(client.netns, '10.96.0.10')).toEqual([`one ${client.address}`]);
    await serve('web', spec, [{ ...two, node: 'elsewhere' }]);
    await expect(ask(client.netns, '10.96.0.10')).rejects.toMatchObject({
      code: expect.stringMatching('timeout|unavailable'),
    });
  });

  test('that two services claim stay with the first, and pass on when it goes', async () => {
    await serve('web', { clusterIP: '10.96.0.10' }, [one]);
    await serve('thief', { clusterIP: '10.96.0.11', externalIPs: ['10.96.0.10'] }, [two]);
    expect(await askOften(client.netns, '10.96.0.10')).toEqual([`one ${client.address}`]);
    services.remove('a/web');
    await clock.advance(10);
    expect(await ask(client.netns, '10.96.0.10')).toContain('two');
  });
});

test('a UDP client that keeps its port follows the endpoints', async () => {
  const sockets = [];
  try {
    for (const { netns, address } of [one, two]) {
      const server = await bindUdpInNetns(netns, '0.0.0.0', 80);
      server.on('message', (_data, from) => server.send(address, from.port, from.address));
      sockets.push(server);
    }
    const sender = await bindUdpInNetns(client.netns, '0.0.0.0', 0);
    sockets.push(sender);
    const askUdp = (): Promise<string> =>
      new Promise((resolve) => {
        sender.once('message', (data) => resolve(String(data)));
        sender.send('who', 80, '10.96.0.20');
      });
    for (const pod of [one, two, one]) {
      const spec = { clusterIP: '10.96.0.20', ports: [{ port: 80, protocol: 'UDP' }] };
      services.put({ metadata: { namespace: 'a', name: 'udp' }, spec });
      endpoints('udp', [pod], 'UDP');
      await clock.advance(10);
      expect(await askUdp()).toBe(pod.address);
    }
  } finally {
    for (const socket of sockets) socket.close();
  }
});

describe('outside traffic', () => {
  const nodePort = { type: 'NodePort', clusterIP: '10.96.0.10', ports: [{ port: 80, nodePort: 30080 }] };

  test('reaches node ports on every address of the node, loopback too', async () => {
    await serve('web', nodePort, [one, two]);
    expect(await askOften(pathOf(world), '192.0.2.1', 30080)).toEqual(['one 10.244.0.1', 'two 10.244.0.1']);
    for (const address of ['127.0.0.1', '192.0.2.1', '10.244.0.1']) {
      expect(await askOften(pathOf(machine), address, 30080)).toEqual(['one 10.244.0.1', 'two 10.244.0.1']);
    }
    expect(await ask(client.netns, '192.0.2.1', 30080)).toMatch(/^(one|two) 10\.244\.0\.1$/);
    await serve('web', nodePort, []);
    await expect(ask(pathOf(world), '192.0.2.1', 30080)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(ask(pathOf(machine), '127.0.0.1', 30080)).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('keeps its source address with a local external policy', async () => {
    const local = { ...nodePort, externalTrafficPolicy: 'Local' };
    await serve('web', local, [one, { ...two, node: 'elsewhere' }]);
    expect(await askOften(pathOf(world), '192.0.2.1', 30080)).toEqual(['one 192.0.2.2']);
    expect(await askOften(pathOf(machine), '127.0.0.1', 30080)).toEqual(['one 10.244.0.1', 'two 10.244.0.1']);
    await serve('web', local, [{ ...two, node: 'elsewhere' }]);
    await expect(ask(pathOf(world), '192.0.2.1', 30080)).rejects.toMatchObject({ code: 'timeout' });
    expect(await ask(client.netns, '192.0.2.1', 30080)).toContain('two');
  });

  test('reaches external and balancer addresses', async () => {
    services.put({
      metadata: { namespace: 'a', name: 'web' },
      spec: { type: 'LoadBalancer', clusterIP: '10.96.0.10', ports: [{ port: 80 }] },
      status: { loadBalancer: { ingress: [{ ip: '203.0.113.9' }] } },
    });
    endpoints('web', [one]);
    await clock.advance(10);
    expect(await ask(pathOf(world), '203.0.113.9')).toBe('one 10.244.0.1');
  });
});

describe('the table', () => {
  test('is written anew when somebody removed it', async () => {
    await serve('web', { clusterIP: '10.96.0.10' }, [one]);
    using nftables = Nftables.open({ netns: pathOf(machine) });
    nftables.run('delete table ip wherry-proxy');
    await serve('other', { clusterIP: '10.96.0.12' }, [two]);
    expect(await ask(client.netns, '10.96.0.10')).toBe(`one ${client.address}`);
    expect(await ask(client.netns, '10.96.0.12')).toBe(`two ${client.address}`);
  });

  test('comes back by itself when somebody flushes the ruleset', async () => {
    await serve('web', { clusterIP: '10.96.0.10' }, [one]);
    using nftables = Nftables.open({ netns: pathOf(machine) });
    const listed = (): boolean => nftables.listText('list tables').includes('wherry-proxy');
    nftables.run('flush ruleset');
    expect(listed()).toBe(false);
    // The kernel's announcement lies in the socket: it is read when the event loop goes round.
    for (let rounds = 0; rounds < 50 && !listed(); rounds++) {
      await new Promise((resolve) => setImmediate(resolve));
      await clock.advance(1000);
    }
    expect(await ask(client.netns, '10.96.0.10')).toBe(`one ${client.address}`);
  });

  test('holds nothing of services that are gone', async () => {
    await serve('web', { clusterIP: '10.96.0.10', sessionAffinity: 'ClientIP' }, [one, two]);
    services.remove('a/web');
    await clock.advance(10);
    using nftables = Nftables.open({ netns: pathOf(machine) });
    const text = nftables.listText('list table ip wherry-proxy');
    expect(text).not.toMatch(/svc-|ep-|aff-|ext-|elements/);
    expect(text).toContain('chain services');
  });
});
