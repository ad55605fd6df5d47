import { PassThrough } from 'node:stream';
import { AsyncQueue, deferred, silentLogger, VirtualClock, WherryError } from '@wherry/base';
import type { AttachedStreams, DockerContainers, DockerEvent, EventLog } from '@wherry/docker';
import type { ImageDetails, ImageEvent } from '@wherry/images';
import type { NetworkRecord } from '@wherry/network';
import type { VolumeRecord } from '@wherry/volumes';
import type { EngineApiOptions, EngineImages, SystemFacts } from '../src/index.ts';

export const fakeId = 'a'.repeat(64);

/** Refuses every call that a test did not say anything of. */
export function unexpected<T extends object>(given: Partial<T>, what: string): T {
  return new Proxy(given as T, {
    get(target, name) {
      if (name in target) return Reflect.get(target, name) as unknown;
      if (typeof name === 'symbol' || name === 'then') return undefined;
      return () => {
        throw new Error(`${what}.${name} was not expected`);
      };
    },
  });
}

export function fakeContainers(given: Partial<DockerContainers> = {}): DockerContainers {
  const refuse = (name: string): never => {
    throw new WherryError('notFound', `No such container: ${name}`);
  };
  return unexpected<DockerContainers>(
    {
      list: async () => [],
      inspect: async (name) => (name === 'web' ? { Id: fakeId, Name: '/web' } : refuse(name)),
      start: async (name) => (name === 'web' ? true : refuse(name)),
      stop: async () => false,
      counts: () => ({ running: 1, paused: 0, stopped: 2 }),
      userOfImage: () => undefined,
      checkExec: async () => undefined,
      inspectExec: async (id) => ({ ID: id }),
      ...given,
    },
    'containers',
  );
}

/** Streams of a container whose other ends are the test's. */
export function fakeStreams(tty: boolean): {
  readonly streams: AttachedStreams;
  readonly stdin: PassThrough;
  readonly stdout: PassThrough;
  readonly stderr: PassThrough;
  readonly disposed: Promise<void>;
} {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const disposed = deferred();
  const streams: AttachedStreams = {
    tty,
    session: {
      stdin,
      stdout,
      stderr: tty ? undefined : stderr,
      exit: new Promise(() => undefined),
      resize: () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    },
    async [Symbol.asyncDispose]() {
      stdout.destroy();
      stderr.destroy();
      disposed.resolve();
    },
  };
  return { streams, stdin, stdout, stderr, disposed: disposed.promise };
}

export const fakeFacts: SystemFacts = {
  version: '0.1.0',
  gitCommit: 'abcdef0',
  buildTime: '2026-01-01T00:00:00Z',
  id: '00000000-0000-4000-8000-000000000000',
  rootDirectory: '/var/lib/wherry',
  hostname: 'machine',
  kernelVersion: '6.1.0',
  operatingSystem: 'Debian GNU/Linux 12 (bookworm)',
  operatingSystemVersion: '12',
  architecture: 'amd64',
  machine: 'x86_64',
  processors: 2,
  memoryBytes: 1 << 30,
  cgroupVersion: 2,
  limits: {
    memory: true,
    swap: true,
    oomKillDisable: false,
    cpuQuota: true,
    cpuShares: true,
    cpuset: true,
    pids: true,
  },
  ipv4Forwarding: true,
  backingFilesystem: 'extfs',
  storage: { metacopy: false },
  runtimes: [{ name: 'crun', path: '/usr/bin/crun', args: [], version: '1.8.1', commit: '' }],
  monitor: { name: 'conmon', version: '2.1.6' },
  initBinary: 'wherry-init',
  securityOptions: ['name=seccomp,profile=builtin'],
  insecureRegistries: ['127.0.0.0/8'],
  registryMirrors: [],
  labels: [],
  logDrivers: ['json-file'],
  networkDrivers: ['bridge', 'host', 'null'],
  warnings: [],
};

export interface FakeEvents extends EventLog {
  readonly seen: DockerEvent[];
}

export function fakeEvents(): FakeEvents {
  const seen: DockerEvent[] = [];
  const readers = new Set<AsyncQueue<DockerEvent>>();
  return {
    seen,
    emit(Type, Action, ID, Attributes) {
      const timeNano = 1_700_000_000_123_456_789n + BigInt(seen.length);
      const time = Number(timeNano / 1_000_000_000n);
      const event: DockerEvent = { Type, Action, Actor: { ID, Attributes }, scope: 'local', time, timeNano };
      seen.push(event);
      for (const reader of readers) reader.push(event);
    },
    get listeners() {
      return readers.size;
    },
    async *read({ since, until }, signal) {
      const queue = new AsyncQueue<DockerEvent>();
      readers.add(queue);
      const end = (): void => queue.end();
      signal.addEventListener('abort', end);
      try {
        if (since !== undefined) yield* seen.filter(({ timeNano }) => timeNano >= since);
        if (until !== undefined) return;
        yield* queue;
      } finally {
        readers.delete(queue);
        signal.removeEventListener('abort', end);
      }
    },
  };
}

export function fakeImage(name: string, change: Partial<ImageDetails> = {}): ImageDetails {
  const id = `sha256:${Buffer.from(name).toString('hex').padEnd(64, '0').slice(0, 64)}` as const;
  return {
    id,
    manifest: id,
    parent: undefined,
    names: [`docker.io/library/${name}:latest`],
    digests: [],
    isBehindName: false,
    createdAt: Date.UTC(2026, 0, 1),
    addedAt: Date.UTC(2026, 0, 2),
    sizeBytes: 1000,
    labels: {},
    layers: [{ digest: id, size: 10, diffId: id, chainId: id }],
    config: {
      architecture: 'amd64',
      os: 'linux',
      created: '2026-01-01T00:00:00Z',
      rootfs: { type: 'layers', diff_ids: [id] },
      history: [{ created: '2026-01-01T00:00:00Z', created_by: 'COPY', comment: 'c' }],
    },
    rawConfig: { docker_version: '20.10', config: { Cmd: ['sh'], Image: 'parent' } },
    lastTaggedAt: undefined,
    folders: ['/layers/a'],
    layerBytes: [1000],
    ...change,
  };
}

export interface FakeImages extends EngineImages {
  fire(event: ImageEvent): void;
}

export function fakeImages(images: readonly ImageDetails[], given: Partial<EngineImages> = {}): FakeImages {
  const listeners = new Set<(event: ImageEvent) => void>();
  const calls: Partial<FakeImages> = {
    summaries: async () => images,
    details: async (reference) => {
      const name = reference.includes(':') ? reference : `${reference}:latest`;
      const found = images.find(
        ({ id, names }) => id === reference || names.some((full) => full === name || full.endsWith(`/${name}`)),
      );
      if (found === undefined) throw new WherryError('notFound', `No such image: ${name}`);
      return found;
    },
    onEvent(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => listeners.delete(listener) };
    },
    layerSizes: async () => new Map(),
    fire: (event) => {
      for (const listener of listeners) listener(event);
    },
    ...given,
  };
  return unexpected<FakeImages>(calls, 'images');
}

export function fakeNetwork(name: string, change: Partial<NetworkRecord> = {}): NetworkRecord {
  return {
    id: Buffer.from(name).toString('hex').padEnd(64, '0').slice(0, 64),
    name,
    driver: 'bridge',
    predefined: false,
    createdAt: Date.UTC(2026, 0, 1),
    internal: false,
    attachable: false,
    ingress: false,
    enableIPv4: true,
    enableIPv6: false,
    ipam: { driver: 'default', pools: [{ subnet: '172.18.0.0/16', gateway: '172.18.0.1' }] },
    options: {},
    labels: {},
    bridge: 'br-x',
    ...change,
  };
}

export function fakeVolume(name: string, change: Partial<VolumeRecord> = {}): VolumeRecord {
  return {
    name,
    driver: 'local',
    mountpoint: `/volumes/${name}/_data`,
    createdAt: Date.UTC(2026, 0, 1),
    options: {},
    labels: {},
    anonymous: false,
    ...change,
  };
}

/** Options of an API whose parts refuse what the test does not give. */
export function fakeOptions(given: Partial<EngineApiOptions> = {}): EngineApiOptions {
  return {
    containers: fakeContainers(),
    events: fakeEvents(),
    networks: unexpected<EngineApiOptions['networks']>(
      { list: () => [], find: () => undefined, endpointsOf: () => [] },
      'networks',
    ),
    volumes: unexpected<EngineApiOptions['volumes']>(
      { list: () => [], find: () => undefined, users: () => [] },
      'volumes',
    ),
    images: fakeImages([]),
    facts: async () => fakeFacts,
    temporaryDirectory: '/nonexistent',
    log: silentLogger,
    clock: new VirtualClock(),
    ...given,
  };
}
