import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { realDocker } from './docker-client.ts';
import { type BusyboxOptions, busyboxImage, type TestImage, webImage, writeDockerArchive } from './images.ts';
import { type Kubectl, realKubectls } from './kubectl.ts';
import { createTestMachine, type RunOptions, type TestMachine, type TestMachineOptions } from './machine.ts';
import type { Ran, Running, StartOptions } from './running.ts';

/** A cluster of the built product on a test machine of its own, driven from outside as a user would; with `upArgs: ['--engine-only']` the engine alone. */
export interface TestCluster extends AsyncDisposable {
  readonly machine: TestMachine;
  /** Environment that points `wherry` and `kubectl` at this cluster. */
  readonly env: Readonly<Record<string, string>>;
  readonly kubeconfigPath: string;
  wherry(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Real kubectl; the newest there is unless another is given. */
  kubectl(args: readonly string[], options?: RunOptions & { client?: Kubectl }): Promise<Ran>;
  /** kubectl that must succeed; gives its standard output. */
  mustKubectl(args: readonly string[], options?: RunOptions & { client?: Kubectl }): Promise<string>;
  /** Starts real kubectl, to talk to while it runs. */
  startKubectl(args: readonly string[], options?: StartOptions & { client?: Kubectl }): Running;
  /** Value of DOCKER_HOST. */
  readonly dockerHost: string;
  /** The real docker client. */
  docker(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** docker that must succeed; gives its standard output. */
  mustDocker(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Starts the real docker client, to talk to while it runs. */
  startDocker(args: readonly string[], options?: StartOptions): Running;
  /** Loads an image from memory under names. */
  loadImage(image: TestImage, names: readonly string[]): Promise<void>;
  /** Applies manifests. */
  apply(manifest: string, args?: readonly string[]): Promise<string>;
  /** Loads a docker archive. */
  load(archive: string): Promise<void>;
  /** Makes and loads `busybox:1.35` and the web server `nginx:1.22`. */
  loadTestImages(options?: BusyboxOptions): Promise<void>;
  /** Process id of the daemon. */
  daemonPid(): Promise<number>;
  /** Brings it up, as `createTestCluster` does unless it is told not to; for the first time, or after a `down`. */
  up(args?: readonly string[]): Promise<void>;
  /** Kills the daemon with SIGKILL and waits for its end. */
  killDaemon(): Promise<void>;
  /** Resolves when the process of a daemon that was killed is gone. */
  daemonEnded(pid: number): Promise<void>;
  /** Starts it again; fails when it says anything. */
  startAgain(): Promise<void>;
  /** The processes in the machine's cgroups, by their command lines. */
  processes(): Promise<readonly { readonly pid: number; readonly command: string }[]>;
}

/** The checkout. */
export const repository = new URL('../../..', import.meta.url).pathname;

export interface TestClusterOptions extends TestMachineOptions {
  readonly upArgs?: readonly string[] | undefined;
  /** Do not start it yet. */
  readonly start?: boolean | undefined;
}

/** Brings a cluster up on a new machine. Disposing it takes it down with `--purge` and checks for leaks. */
export async function createTestCluster({
  upArgs = [],
  start = true,
  ...options
}: TestClusterOptions = {}): Promise<TestCluster> {
  const machine = await createTestMachine(options);
  const kubeconfigPath = join(machine.directory, 'root', 'admin.kubeconfig');
  const dockerHost = `unix://${join(machine.directory, 'run', 'wherry', 'docker.sock')}`;
  const env = {
    WHERRY_HOME: join(machine.directory, 'home'),
    WHERRY_RUN: join(machine.directory, 'run'),
    KUBECONFIG: kubeconfigPath,
    HOME: machine.directory,
    DOCKER_HOST: dockerHost,
  };
  const command = join(process.env.WHERRY_CHECKOUT ?? repository, 'bin', 'wherry');
  const wherry: TestCluster['wherry'] = (args, options = {}) =>
    machine.run(process.execPath, [command, ...args], { ...options, env: { ...env, ...options.env } });
  const newest = realKubectls()[0]!;
  const kubectl: TestCluster['kubectl'] = (args, { client = newest, ...options } = {}) =>
    machine.run(client.path, args, { ...options, env: { ...env, ...options.env } });
  const cluster: TestCluster = {
    machine,
    env,
    kubeconfigPath,
    wherry,
    kubectl,
    async mustKubectl(args, options) {
      const ran = await kubectl(args, options);
      if (ran.code !== 0)
        throw new Error(`kubectl ${args.join(' ')}: exit code ${ran.code}\n${ran.stdout}${ran.stderr}`);
      return ran.stdout;
    },
    startKubectl: (args, { client = newest, ...options } = {}) =>
      machine.start(client.path, args, { ...options, env: { ...env, ...options.env } }),
    dockerHost,
    docker: (args, options = {}) =>
      machine.run(realDocker(repository), args, { ...options, env: { ...env, ...options.env } }),
    async mustDocker(args, options) {
      const ran = await cluster.docker(args, options);
      if (ran.code !== 0)
        throw new Error(`docker ${args.join(' ')}: exit code ${ran.code}\n${ran.stdout}${ran.stderr}`);
      return ran.stdout;
    },
    startDocker: (args, options = {}) =>
      machine.start(realDocker(repository), args, { ...options, env: { ...env, ...options.env } }),
    apply: (manifest, args = []) => cluster.mustKubectl(['apply', ...args, '-f', '-'], { input: manifest }),
    async load(archive) {
      const ran = await wherry(['load', archive]);
      if (ran.code !== 0) throw new Error(`wherry load: ${ran.stderr}`);
    },
    async loadTestImages(options) {
      const made = [
        { image: await busyboxImage(options), name: 'busybox:1.35' },
        { image: await webImage(options), name: 'nginx:1.22' },
      ];
      for (const { image, name } of made) await cluster.loadImage(image, [name]);
    },
    async loadImage(image, names) {
      const path = join(machine.directory, 'image.tar');
      await writeDockerArchive(path, image, names);
      await cluster.load(path);
      await rm(path);
    },
    async daemonPid() {
      const ran = await wherry(['status', '-o', 'json']);
      return (JSON.parse(ran.stdout) as { pid: number }).pid;
    },
    async up(args = []) {
      const place = ['--root-dir', join(machine.directory, 'root'), '--cgroup-parent', machine.cgroupParent];
      const up = await wherry(['up', ...place, '--node-name', 'node1', '--quiet', ...args]);
      if (up.code === 0) return;
      const log = await readFile(join(machine.directory, 'root', 'log', 'daemon.log'), 'utf8').catch(() => '');
      throw new Error(`wherry up: ${up.stderr}\n${log.slice(-4000)}`);
    },
    async killDaemon() {
      const pid = await cluster.daemonPid();
      process.kill(pid, 'SIGKILL');
      await cluster.daemonEnded(pid);
    },
    async daemonEnded(pid) {
      while (existsSync(`/proc/${pid}`) && !isZombie(pid)) await setTimeout(2);
    },
    async startAgain() {
      const ran = await wherry(['up', '--quiet']);
      if (ran.code !== 0 || ran.stderr !== '') throw new Error(`wherry up: exit code ${ran.code}\n${ran.stderr}`);
    },
    async processes() {
      const found: { pid: number; command: string }[] = [];
      for (const pid of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
        const read = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
        if (!(await read('cgroup')).includes(machine.cgroupParent)) continue;
        const command = (await read('cmdline')).replaceAll('\0', ' ').trim();
        if (command) found.push({ pid: Number(pid), command });
      }
      return found;
    },
    async [Symbol.asyncDispose]() {
      const down = await wherry(['down', '--purge', '--quiet']);
      const failed = down.code !== 0 && !down.stderr.includes('there is no cluster');
      await Promise.resolve(machine[Symbol.asyncDispose]()).catch((error: unknown) => {
        throw failed ? new Error(`wherry down: ${down.stderr}`, { cause: error }) : error;
      });
      if (failed) throw new Error(`wherry down: ${down.stderr}`);
    },
  };
  if (start) {
    await cluster.up(upArgs).catch(async (error: unknown) => {
      await Promise.resolve(cluster[Symbol.asyncDispose]()).catch(() => undefined);
      throw error;
    });
  }
  return cluster;
}

/** A process that has ended and waits for its parent, which need not be ours. */
function isZombie(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}
