import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiConnection, connect, rate, watchLines } from './api-connection.ts';
import { residentMegabytes } from './process-facts.ts';
import { type Measure, median } from './report.ts';

interface Event {
  readonly type: string;
  readonly object: {
    readonly metadata: { readonly name: string; readonly resourceVersion: string };
    readonly status?: { readonly phase?: string };
  };
}

export interface GrowthOptions {
  readonly pid: number;
  /** Where the engine keeps a folder for each sandbox and container. */
  readonly runDirectory: string;
  readonly cgroupParent: string;
}

const batch = 50;
const batches = 20;

/**
 * What a machine keeps of 1,000 pods that came, ran to their end and went; what 10,000 objects cost in memory and
 * in time; how long a Service takes to reach the kernel beside 500 others.
 */
export async function measureGrowth(kubeconfig: string, options: GrowthOptions): Promise<Measure[]> {
  const api = await connect(kubeconfig, 8);
  try {
    return [
      ...(await podsComeAndGo(api, options)),
      ...(await manyObjects(api, options.pid)),
      ...(await manyServices(api, options.pid)),
    ];
  } finally {
    api.close();
  }
}

async function podsComeAndGo(api: ApiConnection, options: GrowthOptions): Promise<Measure[]> {
  const base = '/api/v1/namespaces/default/pods';
  const phases = new Map<string, string>();
  let wake = (): void => undefined;
  const { metadata } = await api.json<Event['object']>('GET', base);
  const stream = await api.stream(`${base}?watch=1&resourceVersion=${metadata.resourceVersion}`);
  void (async () => {
    for await (const line of watchLines(stream)) {
      const { type, object } = JSON.parse(line) as Event;
      if (type === 'DELETED') phases.delete(object.metadata.name);
      else phases.set(object.metadata.name, object.status?.phase ?? '');
      wake();
    }
  })().catch(() => undefined);
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise<void>((resolve) => (wake = resolve));
  };
  const round = async (number: number): Promise<void> => {
    await rate(8, batch, (i) => api.json('POST', base, shortPod(`r${number}-${i}`)));
    await until(() => phases.size === batch && [...phases.values()].every((phase) => phase === 'Succeeded'));
    await rate(8, batch, (i) => api.json('DELETE', `${base}/r${number}-${i}`));
    await until(() => phases.size === 0);
  };
  await round(0);
  await settle();
  const before = await kept(options);
  const began = performance.now();
  for (let number = 1; number <= batches; number++) await round(number);
  const took = performance.now() - began;
  await settle();
  const after = await kept(options);
  stream.destroy();
  const total = batch * batches;
  const left = Object.entries(after.counts).map(([what, count]) => `${what} ${count - before.counts[what]!}`);
  return [
    { name: 'pods created, run and deleted', value: (total / took) * 1000, unit: '/s', note: `${total} in ${batch}s` },
    {
      name: 'memory after them',
      value: after.memory,
      unit: 'MB',
      against: { name: 'before', value: before.memory },
      note: `left behind: ${left.join(', ')}`,
    },
  ];
}

const shortPod = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: {
    restartPolicy: 'Never',
    containers: [{ name: 'c', image: 'busybox:1.35', imagePullPolicy: 'IfNotPresent', command: ['sleep', '0'] }],
  },
});

/** Long enough for the last clean-up and for V8's collection of a process that has become idle. */
const settle = (): Promise<void> => sleep(15_000);

async function kept({ pid, runDirectory, cgroupParent }: GrowthOptions) {
  const count = async (path: string): Promise<number> => (existsSync(path) ? (await readdir(path)).length : 0);
  const memoryCgroups = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'].map((root) => `${root}/${cgroupParent}`);
  const cgroups = memoryCgroups.find(existsSync);
  return {
    memory: await residentMegabytes(pid),
    counts: {
      descriptors: await count(`/proc/${pid}/fd`),
      threads: await count(`/proc/${pid}/task`),
      sandboxes: await count(`${runDirectory}/engine/sandboxes`),
      containers: await count(`${runDirectory}/engine/containers`),
      cgroups: cgroups ? await count(cgroups) : 0,
    } as Record<string, number>,
  };
}

async function manyObjects(api: ApiConnection, pid: number): Promise<Measure[]> {
  const total = 10_000;
  const base = '/api/v1/namespaces/many/configmaps';
  await api.json('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'many' } });
  const before = await residentMegabytes(pid);
  const data = { payload: 'x'.repeat(1024) };
  const perSecond = await rate(32, total, (i) =>
    api.json('POST', base, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `m${i}` }, data }),
  );
  await settle();
  const after = await residentMegabytes(pid);
  const lists: number[] = [];
  let bytes = 0;
  for (let i = 0; i < 5; i++) {
    const began = performance.now();
    bytes = (await api.call('GET', base)).bytes.length;
    lists.push(performance.now() - began);
  }
  const pages: number[] = [];
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    await api.call('GET', `${base}?limit=500`);
    pages.push(performance.now() - began);
  }
  const began = performance.now();
  await api.json('DELETE', base);
  const deleted = performance.now() - began;
  await api.call('DELETE', '/api/v1/namespaces/many');
  const size = `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  return [
    {
      name: 'memory with 10,000 ConfigMaps of 1 KiB',
      value: after,
      unit: 'MB',
      against: { name: 'before', value: before },
      note: `created at ${perSecond.toFixed(0)}/s on 8 connections`,
    },
    { name: `list of 10,000 (${size})`, value: median(lists), unit: 'ms' },
    { name: 'first page of 500 of 10,000', value: median(pages), unit: 'ms' },
    { name: 'delete of 10,000 as a collection', value: deleted, unit: 'ms' },
  ];
}

/** A Service with one endpoint: from the write of its EndpointSlice to the element in the kernel's map. */
async function manyServices(api: ApiConnection, pid: number): Promise<Measure[]> {
  const before = await residentMegabytes(pid);
  const create = (i: number) => service(api, i);
  const perSecond = await rate(8, 500, create);
  await sleep(2000);
  const { ruleTimes } = await import('./rules.ts');
  const times = await ruleTimes((i) => service(api, 1000 + i), 20);
  const after = await residentMegabytes(pid);
  await api.json('DELETE', '/api/v1/namespaces/default/services?labelSelector=bench');
  await api.json(
    'DELETE',
    '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=endpointslice.kubernetes.io/managed-by=bench',
  );
  return [
    {
      name: 'a Service beside 500 others -> kernel rules',
      value: median(times),
      unit: 'ms',
      note: `the 500 at ${perSecond.toFixed(0)}/s; memory ${before.toFixed(0)} -> ${after.toFixed(0)} MB`,
    },
  ];
}

/** Gives the service's address. */
async function service(api: ApiConnection, i: number): Promise<string> {
  const name = `s${i}`;
  const created = await api.json<{ spec: { clusterIP: string } }>('POST', '/api/v1/namespaces/default/services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, labels: { bench: 'yes' } },
    spec: { ports: [{ port: 80 }] },
  });
  await api.json('POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name,
      labels: { 'kubernetes.io/service-name': name, 'endpointslice.kubernetes.io/managed-by': 'bench' },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: [`10.244.1.${(i % 250) + 1}`], conditions: { ready: true } }],
    ports: [{ port: 80, protocol: 'TCP' }],
  });
  return created.spec.clusterIP;
}
