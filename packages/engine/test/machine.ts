import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemRandom, WherryError } from '@wherry/base';
import type { RootfsSource } from '@wherry/images';
import { mountsBelow, openCgroups } from '@wherry/linux';
import type { PodNetwork } from '@wherry/network';
import type { ContainerConfig, PodSandboxConfig } from '@wherry/runtime';
import { createEngine, type Engine, type EngineOptions, type RegisteredRuntime } from '../src/index.ts';

/** Folders, an image and a cgroup parent for one test. */
export interface TestMachine extends AsyncDisposable {
  readonly folder: string;
  readonly image: string;
  readonly options: EngineOptions;
  readonly held: Set<string>;
  readonly connected: Set<string>;
}

/** Makes an image tree with busybox and opens nothing. Its disposal checks that nothing stayed. */
export function testMachine(): TestMachine {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-engine-'));
  const image = join(folder, 'image');
  for (const name of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev']) mkdirSync(join(image, name), { recursive: true });
  cpSync('/usr/bin/busybox', join(image, 'bin/busybox'));
  for (const applet of [
    'sh',
    'cat',
    'sleep',
    'id',
    'stty',
    'hostname',
    'echo',
    'dd',
    'tail',
    'nc',
    'head',
    'true',
    'env',
    'pwd',
    'ps',
    'tr',
    'grep',
    'ls',
    'chown',
  ])
    symlinkSync('busybox', join(image, 'bin', applet));
  writeFileSync(join(image, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\n');
  writeFileSync(join(image, 'etc/group'), 'root:x:0:\nuser:x:1001:\nextra:x:77:user\n');
  const held = new Set<string>();
  const connected = new Set<string>();
  const cgroupParent = `/wt-${systemRandom.hex(8)}`;
  const options = optionsIn(folder, cgroupParent, held, connected);
  const cgroups = openCgroups();
  return {
    folder,
    image,
    options,
    held,
    connected,
    [Symbol.asyncDispose]: async () => {
      const engine = await createEngine(options);
      await engine.destroyAll();
      const left = {
        mounts: mountsBelow(folder).map((mount) => mount.mountPoint),
        cgroup: cgroups.exists(cgroupParent),
        processes: processesNaming(folder),
        held: [...held],
        connected: [...connected],
        records: recordsOf(folder),
      };
      rmSync(folder, { recursive: true, force: true });
      const nothing = { mounts: [], cgroup: false, processes: [], held: [], connected: [], records: [] };
      if (JSON.stringify(left) !== JSON.stringify(nothing)) throw new Error(`left behind: ${JSON.stringify(left)}`);
    },
  };
}

/** Ids of the records of an engine that has ended or has nothing to write. */
export function recordsOf(folder: string): string[] {
  const ids = new Set<string>();
  for (const kind of ['sandboxes', 'containers'])
    for (const line of readFileSync(join(folder, 'root', `${kind}.journal`), 'utf8')
      .split('\n')
      .slice(1, -1)) {
      const id = /"(?:id|delete)":"(\w+)"/.exec(line)?.[1];
      if (line.startsWith('{"put":') && id !== undefined) ids.add(`${kind}/${id}`);
      else ids.delete(`${kind}/${id}`);
    }
  return [...ids];
}

let runtimes: readonly RegisteredRuntime[] | undefined;

/** Lets all engines of this test file use another OCI runtime by default. */
export function useRuntime(entry: RegisteredRuntime): void {
  runtimes = [entry];
}

function optionsIn(folder: string, cgroupParent: string, held: Set<string>, connected: Set<string>): EngineOptions {
  return {
    rootDirectory: join(folder, 'root'),
    runDirectory: join(folder, 'run'),
    cgroupParent,
    images: imagesOf(join(folder, 'image'), held),
    network: networkOf(connected),
    ...(runtimes === undefined ? {} : { runtimes }),
  };
}

/** An engine on the folders of another process' test machine. */
export function engineOf(folder: string, cgroupParent: string, clock: Clock): Promise<Engine> {
  return createEngine({ ...optionsIn(folder, cgroupParent, new Set(), new Set()), clock });
}

function imagesOf(tree: string, held: Set<string>): RootfsSource {
  return {
    rootfs: async (reference, owner) => {
      if (reference === 'missing') throw new WherryError('notFound', 'no such image');
      held.add(owner);
      const config = {
        architecture: 'amd64',
        os: 'linux',
        config: { Env: ['FROM=image', 'BOTH=image'], Cmd: ['sleep', '1000'] },
        rootfs: { type: 'layers', diff_ids: [] },
      } as const;
      return { imageId: 'sha256:1', config, lowerDirectories: [tree] };
    },
    persistHold: async () => undefined,
    release: async (owner) => {
      held.delete(owner);
    },
  };
}

/** Counts what is connected; the sandboxes have loopback only. */
function networkOf(connected: Set<string>): PodNetwork {
  return {
    add: async ({ id }) => {
      connected.add(id);
      return { ips: ['10.0.0.1'], gateway: '10.0.0.254', mac: '02:00:00:00:00:01' };
    },
    del: async ({ id }) => {
      connected.delete(id);
    },
    reconcile: async (live) => {
      for (const id of connected) if (!live.has(id)) connected.delete(id);
    },
  };
}

/** Processes with this text in their command line: monitors name their folders. */
function processesNaming(text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readCommand(pid).includes(text);
    } catch {
      return false;
    }
  });
}

const readCommand = (pid: string): string => readFileSync(`/proc/${pid}/cmdline`, 'utf8');

export function podConfig(machine: TestMachine, change: Partial<PodSandboxConfig> = {}): PodSandboxConfig {
  return podConfigIn(machine.folder, change);
}

export function podConfigIn(folder: string, change: Partial<PodSandboxConfig> = {}): PodSandboxConfig {
  return {
    metadata: { name: 'pod', uid: 'u1', namespace: 'default', attempt: 0 },
    hostname: 'pod-host',
    logDirectory: join(folder, 'logs'),
    labels: { pod: 'one' },
    annotations: {},
    namespaces: { network: 'pod', pid: 'container', ipc: 'pod' },
    cgroupParent: 'kubepods/podu1',
    ...change,
  };
}

export function containerConfig(command: readonly string[], change: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    metadata: { name: 'c', attempt: 0 },
    image: 'busybox',
    command,
    env: [],
    mounts: [],
    labels: { container: 'c' },
    annotations: {},
    logPath: 'c/0.log',
    stdin: false,
    stdinOnce: false,
    tty: false,
    security: {},
    ...change,
  };
}

/** Resolves when the container has exited. */
export async function exitOf(
  engine: Engine,
  id: string,
): Promise<{ exitCode: number | undefined; reason: string | undefined }> {
  const stop = new AbortController();
  const events = engine.events(stop.signal);
  try {
    const now = await engine.containerStatus(id);
    if (now.state === 'exited') return now;
    for await (const event of events)
      if (event.type === 'containerExited' && event.containerId === id) return event.status;
    throw new Error('the events ended');
  } finally {
    stop.abort();
  }
}
