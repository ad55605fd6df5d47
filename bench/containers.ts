import { existsSync } from 'node:fs';
import { copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createEngine, type Engine } from '@wherry/engine';
import { createTestMachine, type TestMachine } from '@wherry/testkit';
import { measureContainerFloor } from './container-floor.ts';
import { measureMonitoredFloor } from './monitored-floor.ts';
import { disposed, type Measure, median, quantile } from './report.ts';

/** Docker's way of a container through the engine alone, without client, image store and network. */
export async function measureContainers(): Promise<Measure[]> {
  const machine = await createTestMachine();
  try {
    const floor = await measureContainerFloor(machine);
    const engine = await openEngine(machine);
    try {
      return await measure(machine, engine, floor);
    } finally {
      await engine.destroyAll();
    }
  } finally {
    await disposed(machine);
  }
}

async function openEngine(machine: TestMachine): Promise<Engine> {
  const image = join(machine.directory, 'image');
  await rm(image, { recursive: true, force: true });
  for (const folder of ['bin', 'proc', 'sys', 'dev', 'etc', 'tmp'])
    await mkdir(join(image, folder), { recursive: true });
  await copyFile(['/bin/busybox', '/usr/bin/busybox'].find(existsSync)!, join(image, 'bin/busybox'));
  for (const name of ['true', 'sleep', 'sh']) await symlink('busybox', join(image, 'bin', name));
  const config = { architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [] } } as const;
  return await createEngine({
    rootDirectory: join(machine.directory, 'engine'),
    runDirectory: join(machine.directory, 'run-engine'),
    cgroupParent: `/${machine.cgroupParent}`,
    images: {
      rootfs: async () => ({ imageId: 'sha256:1', config, lowerDirectories: [image] }),
      persistHold: async () => undefined,
      release: async () => undefined,
    },
    network: {
      add: async () => ({ ips: [], gateway: '', mac: '' }),
      del: async () => undefined,
      reconcile: async () => undefined,
    },
  });
}

async function measure(machine: TestMachine, engine: Engine, floor: number): Promise<Measure[]> {
  const times: number[] = [];
  for (let index = 0; index < 22; index++) {
    const began = performance.now();
    await removed(engine, await ran(engine, ['true']));
    times.push(performance.now() - began);
  }
  const many = Array.from({ length: 50 }, () => ['sleep', '600']);
  let ids: string[] = [];
  const parallel = await timed(async () => {
    ids = await Promise.all(many.map((command) => started(engine, command)));
  });
  const ends = await timed(() => Promise.all(ids.map((id) => removed(engine, id))));
  const counted = times.slice(2);
  const monitored = await monitoredFloor(machine, engine);
  return [
    {
      name: 'engine: define, attach, run true, remove',
      value: median(counted),
      unit: 'ms',
      against: { name: 'conmon + crun create, start, delete', value: monitored },
      target: Math.round(1.5 * monitored),
      note: `p90 ${quantile(counted, 0.9).toFixed(0)} ms`,
    },
    {
      name: 'engine: 50 started in parallel',
      value: parallel,
      unit: 'ms',
      against: { name: '50 x crun run', value: 50 * floor },
    },
    { name: 'engine: 50 killed and removed in parallel', value: ends, unit: 'ms' },
  ];
}

/** The same run by conmon and crun alone, with the specification that the engine makes. */
async function monitoredFloor(machine: TestMachine, engine: Engine): Promise<number> {
  const id = await started(engine, ['sleep', '600']);
  const run = join(machine.directory, 'run-engine');
  const pin = join(run, 'runtime-namespace', 'mnt');
  const floor = await measureMonitoredFloor({
    config: join(run, 'containers', id, 'config.json'),
    rootfs: join(machine.directory, 'image'),
    cgroupParent: machine.cgroupParent,
    mountNamespace: existsSync(pin) ? pin : undefined,
  });
  await removed(engine, id);
  return floor;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function defined(engine: Engine, command: readonly string[]): Promise<string> {
  const id = await engine.definePodSandbox({
    metadata: { name: 'bench', uid: '', namespace: '', attempt: 0 },
    hostname: 'bench',
    logDirectory: '/nowhere',
    labels: {},
    annotations: {},
    namespaces: { network: 'unmanaged', pid: 'container', ipc: 'container', uts: 'container' },
    cgroupParent: 'docker',
  });
  await engine.createContainer(id, {
    id,
    restartable: true,
    metadata: { name: 'bench', attempt: 0 },
    image: 'bench',
    command,
    env: [],
    mounts: [],
    labels: {},
    annotations: {},
    logPath: '',
    stdin: false,
    stdinOnce: false,
    tty: false,
    security: { seccomp: { type: 'RuntimeDefault' } },
  });
  return id;
}

async function started(engine: Engine, command: readonly string[]): Promise<string> {
  const id = await defined(engine, command);
  await engine.startPodSandbox(id);
  await engine.startContainer(id);
  return id;
}

/** As `docker run` does: attached before the start, to the end of the output. */
async function ran(engine: Engine, command: readonly string[]): Promise<string> {
  const id = await defined(engine, command);
  const session = await engine.attachEarly(id, { tty: false, stdin: false, stdout: true, stderr: true });
  await engine.startPodSandbox(id);
  await engine.startContainer(id);
  session.stdout?.resume();
  session.stderr?.resume();
  await session.exit;
  return id;
}

async function removed(engine: Engine, id: string): Promise<void> {
  await engine.stopPodSandbox(id);
  await engine.removePodSandbox(id);
}
