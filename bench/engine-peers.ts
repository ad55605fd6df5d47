import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import {
  createTestCluster,
  createTestMachine,
  dockerBusyboxImage,
  dockerdFolders,
  type Ran,
  type Running,
  repository,
  runProgram,
  type TestMachine,
  writeDockerArchive,
} from '@wherry/testkit';
import { crunIn, removeCgroups } from '../e2e/image-peers.ts';
import { disposed } from './report.ts';

/** An engine that is measured: a command line in front of a daemon, or podman, which has none. */
export interface EnginePeer extends AsyncDisposable {
  readonly name: string;
  /** Runs its command line: docker's client talks to a socket from anywhere, podman works in its own network. */
  run(args: readonly string[], options?: { readonly input?: string; readonly timeout?: number }): Promise<Ran>;
  /** The words before a command of its command line, for a shell. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The words before a command that is to run on its machine. */
  readonly enter: readonly string[];
  /** Its daemons. */
  pids(): Promise<readonly number[]>;
  /** Everything of it is below this folder. */
  readonly directory: string;
  /** Program names of what it keeps for each container. */
  readonly monitors: readonly string[];
}

/** Wherry's engine alone. */
export async function wherryPeer(): Promise<EnginePeer> {
  const cluster = await createTestCluster({ upArgs: ['--engine-only'] });
  await cluster.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
  const env = { DOCKER_HOST: cluster.dockerHost, HOME: cluster.machine.directory };
  return {
    name: 'wherry',
    run: (args, options) => runProgram('docker', args, { ...options, env }),
    command: ['docker'],
    env,
    enter: cluster.machine.enter,
    pids: async () => [await cluster.daemonPid()],
    directory: cluster.machine.directory,
    monitors: ['conmon'],
    async [Symbol.asyncDispose]() {
      await removeAll((args, options) => cluster.docker(args, options));
      await cluster[Symbol.asyncDispose]();
    },
  };
}

const programs = (name: string): string | undefined =>
  [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));

/** dockerd with its own containerd on a machine without an uplink; `undefined` without it or the iptables it needs. */
export async function dockerdPeer(): Promise<EnginePeer | undefined> {
  const found = dockerdFolders(repository);
  if (found === undefined || programs('iptables') === undefined) return undefined;
  const machine = await createTestMachine();
  const socket = join(machine.directory, 'docker.sock');
  const PATH = `${found}${delimiter}${process.env.PATH}`;
  const path = (name: string): string => join(machine.directory, name);
  const daemon = machine.start(
    'dockerd',
    [
      `--host=unix://${socket}`,
      `--data-root=${path('data')}`,
      `--exec-root=${path('exec')}`,
      `--pidfile=${path('pid')}`,
      `--cgroup-parent=/${machine.cgroupParent}`,
      '--storage-driver=overlay2',
    ],
    { env: { PATH, HOME: machine.directory } },
  );
  await daemon.waitFor('API listen on', 30_000);
  const env = { DOCKER_HOST: `unix://${socket}`, HOME: machine.directory, PATH };
  const run: EnginePeer['run'] = (args, options) => runProgram('docker', args, { ...options, env });
  await loadBusybox(machine, (archive) => run(['load', '--input', archive]));
  return {
    name: 'dockerd 26.1',
    run,
    command: ['docker'],
    env,
    enter: machine.enter,
    pids: async () => [daemon.pid, ...(await childrenOf(daemon.pid, 'containerd'))],
    directory: machine.directory,
    monitors: ['containerd-shim'],
    async [Symbol.asyncDispose]() {
      await removeAll(run);
      await endOf(daemon);
      await removeCgroups(machine, machine.cgroupParent);
      await disposed(machine);
    },
  };
}

/** podman over crun; `undefined` where it is not installed. */
export async function podmanPeer(): Promise<EnginePeer | undefined> {
  const program = programs('podman');
  if (program === undefined) return undefined;
  const machine = await createTestMachine();
  const path = (name: string): string => join(machine.directory, name);
  const settings = [
    `--root=${path('data')}`,
    `--runroot=${path('run')}`,
    '--cgroup-manager=cgroupfs',
    `--tmpdir=${path('tmp')}`,
    `--runtime=${await crunIn(path('bin'))}`,
  ];
  // Its defaults are more open files and processes than a process without CAP_SYS_RESOURCE may allow.
  await writeFile(
    path('containers.conf'),
    '[containers]\ndefault_ulimits = ["nofile=1024:20000", "nproc=1024:4096"]\n',
  );
  const env = { HOME: machine.directory, CONTAINERS_CONF: path('containers.conf') };
  const run: EnginePeer['run'] = (args, options) => machine.run(program, [...settings, ...args], { ...options, env });
  await loadBusybox(machine, (archive) => run(['load', '--input', archive]));
  return {
    name: 'podman, crun',
    run,
    command: [...machine.enter, program, ...settings],
    env,
    enter: machine.enter,
    pids: async () => [],
    directory: machine.directory,
    monitors: ['conmon'],
    async [Symbol.asyncDispose]() {
      await removeAll(run);
      await disposed(machine);
    },
  };
}

async function loadBusybox(machine: TestMachine, load: (archive: string) => Promise<Ran>): Promise<void> {
  const archive = join(machine.directory, 'busybox.tar');
  await writeDockerArchive(archive, await dockerBusyboxImage(), ['busybox:latest']);
  const loaded = await load(archive);
  if (loaded.code !== 0) throw new Error(`load: ${loaded.stderr}`);
}

async function removeAll(run: EnginePeer['run']): Promise<void> {
  const { stdout } = await run(['ps', '-aq']);
  const ids = stdout.split('\n').filter(Boolean);
  if (ids.length > 0) await run(['rm', '-fv', ...ids], { timeout: 300_000 });
}

async function endOf(daemon: Running): Promise<void> {
  daemon.kill('SIGTERM');
  await daemon.exited;
}

async function childrenOf(pid: number, name: string): Promise<number[]> {
  const { stdout } = await runProgram('ps', ['--ppid', String(pid), '-o', 'pid=,comm=']);
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, command]) => command === name)
    .map(([id]) => Number(id));
}
