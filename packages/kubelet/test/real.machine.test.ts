import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { V1Pod, V1PodSpec } from '@wherry/api';
import { deferred, silentLogger, systemClock, systemRandom } from '@wherry/base';
import { type ApiClient, createInformerFactory, resources } from '@wherry/client';
import { createEngine, type Engine } from '@wherry/engine';
import { type ImageStore, openImageStore } from '@wherry/images';
import { mountsBelow, openCgroups, unmountAll } from '@wherry/linux';
import type { PodNetwork } from '@wherry/network';
import { createMemoryApi, makeBusyboxImage } from '@wherry/testkit';
import { sharePropagation } from '@wherry/volumes';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createKubelet, type Kubelet } from '../src/index.ts';
import { withStatusMerge } from './scene.ts';

// The kubelet on the real engine, with the real image store; only the API and the network are stand-ins.
const loopbackOnly: PodNetwork = {
  add: async () => ({ ips: ['127.0.0.1'], gateway: '127.0.0.1', mac: '02:00:00:00:00:01' }),
  del: async () => undefined,
  reconcile: async () => undefined,
};

let folder: string;
let shared = false;
let cgroupParent: string;
let images: ImageStore;
let engine: Engine;
let kubelet: Kubelet;
let stop: AbortController;
let running: Promise<unknown>;
let client: ApiClient;
const api = createMemoryApi();

async function start(): Promise<void> {
  stop = new AbortController();
  engine = await createEngine({
    rootDirectory: join(folder, 'root'),
    runDirectory: join(folder, 'run'),
    cgroupParent,
    images,
    network: loopbackOnly,
  });
  const informers = createInformerFactory({ client, clock: systemClock, log: silentLogger });
  kubelet = createKubelet({
    nodeName: 'node1',
    nodeIps: ['127.0.0.1'],
    client,
    informers,
    runtime: engine,
    images,
    rootDirectory: join(folder, 'pods'),
    logDirectory: join(folder, 'logs'),
    kubeletVersion: 'v1.36.0',
    clock: systemClock,
    log: silentLogger,
  });
  running = Promise.all([informers.run(stop.signal), kubelet.run(stop.signal)]);
  await kubelet.ready;
}

async function end(): Promise<void> {
  stop.abort();
  await running;
  await engine[Symbol.asyncDispose]();
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-node-'));
  shared = sharePropagation(join(folder, 'pods'));
  cgroupParent = `/wt-${systemRandom.hex(8)}`;
  client = withStatusMerge(api);
  images = await openImageStore({ directory: join(folder, 'images'), log: silentLogger });
  await makeBusyboxImage(images);
  await start();
});

afterAll(async () => {
  for (const pod of api.all<V1Pod>(resources.pods)) await remove(pod.metadata?.name ?? '');
  // A pod without grace leaves the API at once; its node cleans up after that.
  const present = (): string[] => [...readdirSync(join(folder, 'pods')), ...readdirSync(join(folder, 'logs'))];
  await vi.waitFor(() => expect(present()).toEqual([]), 20_000);
  await end();
  engine = await createEngine({
    rootDirectory: join(folder, 'root'),
    runDirectory: join(folder, 'run'),
    cgroupParent,
    images,
    network: loopbackOnly,
  });
  await engine.destroyAll();
  await engine[Symbol.asyncDispose]();
  await images[Symbol.asyncDispose]();
  if (shared) unmountAll(join(folder, 'pods'));
  const left = {
    mounts: mountsBelow(folder).map(({ mountPoint }) => mountPoint),
    cgroup: openCgroups().exists(cgroupParent),
  };
  rmSync(folder, { recursive: true, force: true });
  expect(left).toEqual({ mounts: [], cgroup: false });
});

/** Resolves when the pod is as wanted (`undefined`: gone). */
async function until(name: string, wanted: (pod: V1Pod | undefined) => boolean): Promise<V1Pod | undefined> {
  const stopWatch = new AbortController();
  const found = deferred<V1Pod | undefined>();
  const { resourceVersion, items } = await api.list<V1Pod>(resources.pods, { namespace: 'default' });
  const now = items.find(({ metadata }) => metadata?.name === name);
  if (wanted(now)) return now;
  void (async () => {
    for await (const event of api.watch<V1Pod>(resources.pods, {
      resourceVersion,
      namespace: 'default',
      signal: stopWatch.signal,
    })) {
      if (event.type === 'BOOKMARK' || event.object.metadata?.name !== name) continue;
      const pod = event.type === 'DELETED' ? undefined : event.object;
      if (wanted(pod)) found.resolve(pod);
    }
  })().catch(found.reject);
  try {
    return await found.promise;
  } finally {
    stopWatch.abort();
  }
}

const isReady = (pod: V1Pod | undefined): boolean =>
  pod?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;

async function create(name: string, spec: Partial<V1PodSpec>): Promise<void> {
  const whole = { terminationGracePeriodSeconds: 0, nodeName: 'node1', restartPolicy: 'Always', ...spec } as V1PodSpec;
  await client.create<V1Pod>(resources.pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: whole,
  });
}

async function remove(name: string): Promise<void> {
  await client.delete(resources.pods, { namespace: 'default', name });
  await until(name, (pod) => pod === undefined);
}

async function run(name: string, ...command: string[]): Promise<string> {
  const session = await kubelet.streams.exec({ namespace: 'default', name }, 'c', {
    command,
    tty: false,
    stdin: false,
    stdout: true,
    stderr: true,
  });
  // Both are read: they share one connection.
  const [output] = await Promise.all([
    session.stdout ? text(session.stdout) : '',
    session.stderr && text(session.stderr),
  ]);
  expect(await session.exit).toBe(0);
  return output;
}

const logs = async (name: string, options = {}): Promise<string> =>
  text(await kubelet.streams.logs({ namespace: 'default', name }, 'c', options, new AbortController().signal));

describe('a node', () => {
  it('runs a pod to its end and shows what it said', async () => {
    await create('hello', {
      restartPolicy: 'Never',
      containers: [{ name: 'c', image: 'busybox:1.35', command: ['echo', 'hello kubernetes'] }],
    });
    const pod = await until('hello', (one) => one?.status?.phase === 'Succeeded');
    expect(pod?.status?.containerStatuses?.[0]).toMatchObject({
      image: 'docker.io/library/busybox:1.35',
      state: { terminated: { exitCode: 0, reason: 'Completed' } },
    });
    expect(await logs('hello')).toBe('hello kubernetes\n');
    await remove('hello');
  });

  it('gives containers their configuration and follows it', async () => {
    const namespace = 'default';
    await api.create(resources.configMaps, {
      metadata: { namespace, name: 'cm' },
      data: { lit: '1', 'ui.conf': 'blue' },
    } as never);
    await api.create(resources.secrets, { metadata: { namespace, name: 'db' }, data: { password: 'cCB3' } } as never);
    await create('consume', {
      volumes: [
        { name: 'cm', configMap: { name: 'cm' } },
        { name: 'sec', secret: { secretName: 'db', defaultMode: 0o400 } },
        { name: 'mem', emptyDir: { medium: 'Memory' } },
      ],
      containers: [
        {
          name: 'c',
          image: 'busybox:1.35',
          command: ['sh', '-c', "echo 'arg $(K)'; echo bye > /dev/termination-log; sleep 3600"],
          env: [{ name: 'K', valueFrom: { configMapKeyRef: { name: 'cm', key: 'lit' } } }],
          volumeMounts: [
            { name: 'cm', mountPath: '/cm' },
            { name: 'sec', mountPath: '/sec' },
            { name: 'mem', mountPath: '/mem' },
            { name: 'cm', mountPath: '/one.conf', subPath: 'ui.conf' },
          ],
        },
      ],
    });
    await until('consume', isReady);
    expect(await run('consume', 'sh', '-c', 'cat /cm/lit /sec/password /one.conf')).toBe('1p wblue');
    expect(
      await run('consume', 'sh', '-c', 'echo x > /cm/new 2>/dev/null || echo refused; echo y > /mem/f; cat /mem/f'),
    ).toBe('refused\ny\n');
    expect(await run('consume', 'sh', '-c', 'hostname; cat /etc/hostname; head -1 /etc/hosts')).toBe(
      'consume\nconsume\n# Kubernetes-managed hosts file.\n',
    );
    expect(await logs('consume')).toBe('arg 1\n');
    await api.patch(resources.configMaps, { namespace, name: 'cm' }, 'merge', { data: { lit: '2' } });
    await expect.poll(() => run('consume', 'cat', '/cm/lit')).toBe('2');
    await remove('consume');
  });

  it('restarts what fails, and keeps its last words', async () => {
    await create('crash', {
      containers: [
        {
          name: 'c',
          image: 'busybox:1.35',
          command: ['sh', '-c', 'echo run; echo why > /dev/termination-log; exit 3'],
        },
      ],
    });
    const pod = await until(
      'crash',
      (one) => one?.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff',
    );
    expect(pod?.status?.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({
      exitCode: 3,
      reason: 'Error',
      message: 'why\n',
    });
    expect(await logs('crash', { previous: true })).toBe('run\n');
    await remove('crash');
  });

  it('leaves pods running when it ends and takes them over', async () => {
    await create('stay', {
      containers: [{ name: 'c', image: 'busybox:1.35', command: ['sh', '-c', 'echo $$; sleep 3600'] }],
    });
    const before = await until('stay', isReady);
    await end();
    await start();
    const after = await until('stay', isReady);
    expect(after?.status?.containerStatuses).toEqual(before?.status?.containerStatuses);
    expect(await run('stay', 'echo', 'here')).toBe('here\n');
    await remove('stay');
  });
});
