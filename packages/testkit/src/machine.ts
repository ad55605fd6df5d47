import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRandom } from '@wherry/base';
import { type Ran, type Running, type StartOptions, startProgram } from './running.ts';

export interface RunOptions {
  readonly input?: string | Buffer | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** Milliseconds until it is killed (default 60 s). */
  readonly timeout?: number | undefined;
}

/**
 * A "machine" of a test: a network namespace without an uplink, a root directory and a cgroup parent of its
 * own. Disposing it removes them, and fails when something was left behind in them: a process, a mount, a
 * cgroup, or a network namespace, interface or rule on the host.
 */
export interface TestMachine extends AsyncDisposable {
  readonly id: string;
  readonly netns: string;
  /** Scratch folder; everything of the machine is below it. */
  readonly directory: string;
  readonly cgroupParent: string;
  /** Runs a program inside the machine's network. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Starts a program inside the machine's network, to talk to while it runs. */
  start(program: string, args: readonly string[], options?: StartOptions): Running;
  /** The command line before a program that makes it run inside of the machine's network. */
  readonly enter: readonly string[];
}

export interface TestMachineOptions {
  /** Puts the machine's folder `root` on a disk of that many bytes, in a mount namespace of its own. */
  readonly diskBytes?: number | undefined;
  /** Gives the machine an `/etc` of its own above the host's, in a mount namespace: nobody else sees what is written there. */
  readonly ownEtc?: boolean | undefined;
}

/** Makes a machine. */
export async function createTestMachine({ diskBytes, ownEtc }: TestMachineOptions = {}): Promise<TestMachine> {
  const id = systemRandom.hex(8);
  const name = `wt-${id}`;
  const before = hostFacts();
  execFileSync('ip', ['netns', 'add', name]);
  const netns = `/run/netns/${name}`;
  execFileSync('nsenter', [`--net=${netns}`, 'ip', 'link', 'set', 'lo', 'up']);
  const directory = await mkdtemp(join(tmpdir(), 'wherry-machine-'));
  const mounts = [
    ...(diskBytes === undefined ? [] : [diskAt(join(directory, 'root'), diskBytes)]),
    ...(ownEtc ? [etcAbove(join(directory, 'etc'))] : []),
  ];
  const keeper = mounts.length === 0 ? undefined : await privateMounts(mounts);
  const enter = ['nsenter', `--net=${netns}`, ...(keeper ? [`--mount=/proc/${keeper.pid}/ns/mnt`] : [])];
  const within = (program: string, args: readonly string[]) =>
    ['nsenter', [...enter.slice(1), program, ...args]] as const;
  const cgroupParent = `wherry-test-${id}`;
  return {
    id,
    netns,
    directory,
    cgroupParent,
    enter,
    run: (program, args, options) => runProgram(...within(program, args), options),
    start: (program, args, options) => startProgram(...within(program, args), options),
    async [Symbol.asyncDispose]() {
      await keeper?.[Symbol.asyncDispose]();
      const leaks = await leaksBelow(directory, cgroupParent, netns);
      execFileSync('ip', ['netns', 'delete', name]);
      await rm(directory, { recursive: true, force: true });
      const after = hostFacts();
      for (const fact of after) if (!before.has(fact)) leaks.push(fact);
      if (leaks.length > 0) throw new Error(`left behind on the machine:\n  ${leaks.join('\n  ')}`);
    },
  };
}

/** Shell commands that mount a disk. */
function diskAt(folder: string, bytes: number): string {
  return `mkdir '${folder}' && mount -t tmpfs -o size=${bytes} none '${folder}'`;
}

/** Shell commands that mount a layer above `/etc`; a tmpfs holds it, since an overlay takes no overlay for that. */
function etcAbove(folder: string): string {
  const [upper, work] = [`${folder}/upper`, `${folder}/work`];
  const layers = `lowerdir=/etc,upperdir=${upper},workdir=${work}`;
  return `mkdir '${folder}' && mount -t tmpfs none '${folder}' && mkdir '${upper}' '${work}' && mount -t overlay -o '${layers}' overlay /etc`;
}

/** A new mount namespace with some mounts, which the process that is given keeps. */
async function privateMounts(commands: readonly string[]): Promise<Running> {
  const script = `${commands.join(' && ')} && echo mounted && exec sleep infinity`;
  const keeper = startProgram('unshare', ['--mount', '--propagation', 'slave', 'sh', '-c', script]);
  await keeper.waitFor('mounted');
  return keeper;
}

/** Runs a program to its end. Never throws for its exit code. */
export function runProgram(
  program: string,
  args: readonly string[],
  { input, env, cwd, timeout = 60_000 }: RunOptions = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
    child.stdout.on('data', (part: Buffer) => out.push(part));
    child.stderr.on('data', (part: Buffer) => err.push(part));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      const stderr = Buffer.concat(err).toString() + (signal ? `\n[killed by ${signal}]` : '');
      resolve({ code: code ?? 128, stdout: Buffer.concat(out).toString(), stderr });
    });
  });
}

/** What of the host must be the same after a test: interfaces, routes, rules. */
function hostFacts(): ReadonlySet<string> {
  const lines = (kind: string, program: string, args: readonly string[]): string[] => {
    try {
      const text = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      return text
        .split('\n')
        .filter(Boolean)
        .map((line) => `${kind} ${line.trim()}`);
    } catch {
      return [];
    }
  };
  return new Set([
    ...lines('interface', 'ip', ['-o', '-br', 'link']).map((line) => line.split(/\s+/).slice(0, 2).join(' ')),
    ...lines('route', 'ip', ['route']),
    ...lines('rule', 'nft', ['list', 'tables']),
  ]);
}

async function leaksBelow(directory: string, cgroupParent: string, netns: string): Promise<string[]> {
  const leaks: string[] = [];
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n'))
    if (line.includes(directory)) leaks.push(`mount ${line.split(' ')[4]}`);
  const inside = execFileSync('ip', ['netns', 'pids', netns.split('/').at(-1)!], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean);
  for (const pid of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const command = await commandOf(pid);
    if (inside.includes(pid) || command.includes(directory)) leaks.push(`process ${pid} ${command}`);
  }
  for (const path of await cgroupsNamed(cgroupParent)) leaks.push(`cgroup ${path}`);
  return leaks;
}

async function commandOf(pid: string): Promise<string> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ').slice(0, 200);
}

async function cgroupsNamed(name: string): Promise<string[]> {
  const root = '/sys/fs/cgroup';
  const found: string[] = [];
  for (const hierarchy of ['', ...(await readdir(root).catch(() => []))]) {
    const entries = await readdir(join(root, hierarchy)).catch(() => [] as string[]);
    if (entries.includes(name)) found.push(join(root, hierarchy, name));
  }
  return found;
}
