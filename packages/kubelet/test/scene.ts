import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CoreV1Event, V1Pod, V1PodSpec } from '@wherry/api';
import { silentLogger, VirtualClock } from '@wherry/base';
import { type ApiClient, createInformerFactory, draftOf, type KubeObject, resources } from '@wherry/client';
import { createMemoryApi, type MemoryApi } from '@wherry/testkit';
import { createKubelet, type Kubelet } from '../src/index.ts';
import { FakeRuntime, fakeImages } from './fake-runtime.ts';

/** A kubelet with everything around it in memory, on a virtual clock. */
export interface Scene extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly api: MemoryApi;
  readonly runtime: FakeRuntime;
  readonly kubelet: Kubelet;
  /** Names of the image that is there; more may come. */
  readonly images: string[];
  /** Lets promises and file operations settle; moves time by `ms`. */
  step(ms?: number): Promise<void>;
  create(name: string, spec: Partial<V1PodSpec>, more?: Partial<V1Pod>): Promise<V1Pod>;
  pod(name: string): V1Pod | undefined;
  events(): string[];
  /** Ends the kubelet and starts another one on the same runtime and API. */
  restart(): Promise<void>;
}

export async function makeScene(): Promise<Scene> {
  const clock = new VirtualClock();
  const api = createMemoryApi({ clock });
  const client = withStatusMerge(api);
  const runtime = new FakeRuntime(clock);
  const root = await mkdtemp(join(tmpdir(), 'wherry-kubelet-'));
  const images = ['docker.io/library/busybox:1.35'];
  let stop = new AbortController();
  let kubelet: Kubelet;
  let running: Promise<unknown>;

  const start = async (): Promise<void> => {
    stop = new AbortController();
    const informers = createInformerFactory({ client, clock, log: silentLogger });
    kubelet = createKubelet({
      nodeName: 'node1',
      nodeIps: ['172.31.99.1'],
      client,
      informers,
      runtime: runtime.service,
      images: fakeImages(images),
      rootDirectory: join(root, 'pods'),
      logDirectory: join(root, 'logs'),
      clusterDns: ['10.96.0.10'],
      kubeletVersion: 'v1.36.0',
      machineFacts: async () => ({
        cpus: 2,
        memoryBytes: 4 << 30,
        storageBytes: 1 << 40,
        machineId: 'm',
        systemUuid: 'u',
        bootId: 'b',
        kernelVersion: '6',
        osImage: 'Debian',
        architecture: 'amd64',
      }),
      clock,
      log: silentLogger,
    });
    running = Promise.all([informers.run(stop.signal), kubelet.run(stop.signal)]);
    await scene.step();
  };
  const finish = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  const scene: Scene = {
    clock,
    api,
    runtime,
    images,
    get kubelet() {
      return kubelet;
    },
    step: async (ms = 0) => {
      await settle(clock, 5);
      await clock.advance(ms);
      await settle(clock, 15);
    },
    create: async (name, spec, more = {}) => {
      const pod: V1Pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        ...more,
        metadata: { name, namespace: 'default', generation: 1, ...more.metadata },
        spec: { containers: [], nodeName: 'node1', terminationGracePeriodSeconds: 5, restartPolicy: 'Always', ...spec },
      };
      const created = await client.create<V1Pod>(resources.pods, pod);
      await scene.step(250);
      return created;
    },
    pod: (name) => api.peek<V1Pod>(resources.pods, `default/${name}`),
    events: () =>
      api.all<CoreV1Event>(resources.events).map(({ type, reason, message }) => `${type} ${reason} ${message}`),
    restart: async () => {
      await finish();
      await start();
    },
    [Symbol.asyncDispose]: async () => {
      await finish();
      await rm(root, { recursive: true, force: true });
    },
  };
  await start();
  return scene;
}

/**
 * Lets promises and file operations end; virtual time stands still. Operations on other threads are
 * waited for however long the disk takes; what cannot be seen (mounts) gets some quiet turns of 2 ms.
 */
async function settle(clock: VirtualClock, quietTurns: number): Promise<void> {
  for (let quiet = 0; quiet < quietTurns; ) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    await clock.advance(0);
    const busy = process.getActiveResourcesInfo().some((name) => /^(FSReq|FileHandleCloseReq)/.test(name));
    quiet = busy ? 0 : quiet + 1;
  }
}

/** The memory API takes strategic patches as merge patches: conditions must be joined by type before. */
export function withStatusMerge(api: MemoryApi): ApiClient {
  const patch: ApiClient['patch'] = async (resource, at, type, body, options) => {
    const change = draftOf(body) as { status?: Record<string, unknown> & { conditions?: { type: string }[] } };
    const { status } = change;
    if (type !== 'strategic' || status === undefined) return api.patch(resource, at, type, body, options);
    const live = await api.get<KubeObject & { status?: { conditions?: { type: string }[] } }>(resource, at);
    for (const [name, value] of Object.entries(status)) {
      if (name.startsWith('$')) delete status[name];
      else if (Array.isArray(value)) status[name] = value.filter((item) => !Object.hasOwn(item as object, '$patch'));
    }
    const own = status.conditions;
    const others = (live.status?.conditions ?? []).filter((old) => !own?.some((one) => one.type === old.type));
    if (own) status.conditions = [...own, ...others];
    return api.patch(resource, at, 'merge', { status }, options);
  };
  return {
    get: (...all) => api.get(...all),
    list: (...all) => api.list(...all),
    watch: (...all) => api.watch(...all),
    create: (...all) => api.create(...all),
    update: (...all) => api.update(...all),
    patch,
    delete: (...all) => api.delete(...all),
    createSubresource: (...all) => api.createSubresource(...all),
  };
}
