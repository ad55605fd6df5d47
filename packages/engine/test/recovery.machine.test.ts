import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeOf } from '@wherry/base';
import { mountsBelow, onlineProcessors, ProcessHandle, unmountAll } from '@wherry/linux';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createEngine } from '../src/index.ts';
import { containerConfig, exitOf, podConfig, type TestMachine, testMachine } from './machine.ts';

const here = dirname(fileURLToPath(import.meta.url));
let bundle: string;
let machine: TestMachine;
let daemon: ChildProcess | undefined;

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-daemon-'));
  bundle = join(folder, 'daemon.mjs');
  await build({
    entryPoints: [join(here, 'daemon.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    outfile: bundle,
    external: ['koffi'],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  // Found from the bundle's folder like any installed package.
  mkdirSync(join(folder, 'node_modules'));
  const { symlinkSync } = await import('node:fs');
  for (const name of ['koffi', '@koromix'])
    symlinkSync(resolve(here, '../../../node_modules', name), join(folder, 'node_modules', name));
});
afterAll(() => rmSync(dirname(bundle), { recursive: true }));
beforeEach(() => {
  machine = testMachine();
});
afterEach(async () => {
  daemon?.kill('SIGKILL');
  await machine[Symbol.asyncDispose]();
});

interface Ids {
  readonly sandbox: string;
  readonly long: string;
  readonly short: string;
}

async function startDaemon(scenario: string, enter: readonly string[] = []): Promise<Ids> {
  const command = [...enter, process.execPath, bundle, machine.folder, machine.options.cgroupParent, scenario];
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  daemon = child;
  const line = await new Promise<string>((done, fail) => {
    child.stdout?.once('data', (data) => done(String(data)));
    child.once('exit', (code) => fail(new Error(`the daemon ended with ${code}`)));
  });
  return JSON.parse(line) as Ids;
}

async function killDaemon(): Promise<void> {
  const gone = new Promise((done) => daemon?.once('exit', done));
  daemon?.kill('SIGKILL');
  await gone;
}

const count = (id: string): string => {
  try {
    return readFileSync(join(machine.folder, 'root/layers', id, 'upper/count'), 'utf8');
  } catch {
    return '';
  }
};

test('killed while a runtime waits for its command: that ends, too', async () => {
  await startDaemon('anticipating');
  const pid = daemon!.pid!;
  // A child may end, and be taken away by its parent, while it is looked at.
  const command = (child: string): string => {
    try {
      return readFileSync(`/proc/${child}/cmdline`, 'utf8');
    } catch {
      return '';
    }
  };
  const runtimes = (): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .split(' ')
      .filter((child) => command(child).includes('--process='))
      .map(Number);
  await expect.poll(runtimes).toHaveLength(1);
  using waiting = ProcessHandle.open(runtimes()[0]!)!;
  await killDaemon();
  await waiting.ended;
});

test('killed while containers run: they are taken over, ends meanwhile are known', async () => {
  const ids = await startDaemon('running');
  const exits = join(machine.folder, 'run/exits');
  await killDaemon();
  // The short one ends while nobody watches: its monitor's file says so.
  await expect.poll(() => readdirSync(exits)).toContain(ids.short);
  machine.connected.add(ids.sandbox);
  const engine = await createEngine(machine.options);
  expect(await exitOf(engine, ids.short)).toMatchObject({ exitCode: 42, reason: 'Error' });
  const status = await engine.containerStatus(ids.long);
  expect(status.state).toBe('running');
  expect((await engine.podSandboxStatus(ids.sandbox)).state).toBe('ready');
  expect([...machine.connected]).toEqual([ids.sandbox]);
  expect((await engine.execSync(ids.long, ['cat', '/count'], 10)).stdout.toString()).toBe('once\n');
  await engine.stopContainer(ids.long, 0);
  expect((await engine.containerStatus(ids.long)).exitCode).toBe(137);
  await engine[Symbol.asyncDispose]();
});

test('killed at any moment of a start: it runs once or can be started', async () => {
  for (const delay of [0, 4, 8, 12, 16, 20, 25, 30, 40]) {
    const ids = await startDaemon('starting');
    await new Promise((done) => setTimeout(done, delay));
    await killDaemon();
    const engine = await createEngine(machine.options);
    const { state } = await engine.containerStatus(ids.long);
    expect(['created', 'running']).toContain(state);
    if (state === 'created') {
      expect(count(ids.long)).toBe('');
      await engine.startContainer(ids.long);
    }
    await expect.poll(() => count(ids.long)).toBe('once\n');
    await engine.removePodSandbox(ids.sandbox);
    await engine[Symbol.asyncDispose]();
  }
});

test('one that runs again, killed at any moment of its rounds: it runs on, or can be started', async () => {
  for (const delay of [0, 5, 12, 20, 30, 45, 60, 80, 100]) {
    const ids = await startDaemon('cycling');
    await new Promise((done) => setTimeout(done, delay));
    await killDaemon();
    const engine = await createEngine(machine.options);
    if ((await engine.containerStatus(ids.long)).state === 'running') await exitOf(engine, ids.long);
    await engine.stopPodSandbox(ids.sandbox);
    const before = count(ids.long);
    expect(before.replaceAll('once\n', '')).toBe('');
    expect(mountsBelow(join(machine.folder, 'run/namespaces'))).toEqual([]);
    await engine.startPodSandbox(ids.sandbox);
    await engine.startContainer(ids.long);
    expect(await exitOf(engine, ids.long)).toMatchObject({ exitCode: 0 });
    expect(count(ids.long)).toBe(`${before}once\n`);
    await engine.removePodSandbox(ids.sandbox);
    await engine[Symbol.asyncDispose]();
  }
});

test('killed while it removes: it is there whole or gone, and can be removed', async () => {
  for (const delay of [0, 4, 8, 12, 20, 30]) {
    const ids = await startDaemon('removing');
    await new Promise((done) => setTimeout(done, delay));
    await killDaemon();
    const engine = await createEngine(machine.options);
    const found = await engine.containerStatus(ids.long).catch(codeOf);
    // A kill right behind the start comes before the first process has ended.
    if (found !== 'notFound') expect(found).toMatchObject({ state: expect.stringMatching(/^(running|exited)$/) });
    await engine.removePodSandbox(ids.sandbox);
    expect(await engine.listContainers()).toEqual([]);
    expect(await engine.listPodSandboxes()).toEqual([]);
    await engine[Symbol.asyncDispose]();
    expect(readdirSync(join(machine.folder, 'root/layers'))).toEqual([]);
  }
});

test('after a reboot: ended with a code that says so, and started again with what it had written', async () => {
  const id = 'b'.repeat(64);
  const first = await createEngine(machine.options);
  const namespaces = { network: 'unmanaged', pid: 'container', ipc: 'pod' } as const;
  await first.definePodSandbox(podConfig(machine, { id, namespaces }));
  const command = ['sh', '-c', 'echo once >> /count; exec sleep 1000'];
  await first.createContainer(id, containerConfig(command, { id, restartable: true }));
  await first.startPodSandbox(id);
  await first.startContainer(id);
  const { pid } = await first.containerStatus(id);
  while (count(id) === '') await new Promise((done) => setTimeout(done, 5));
  await first[Symbol.asyncDispose]();
  // Its processes end, and the run folder is empty.
  const monitor = Number(readFileSync(join(machine.folder, 'run/containers', id, 'monitor.pid'), 'utf8'));
  for (const each of [monitor, pid as number]) {
    using handle = ProcessHandle.open(each);
    handle?.kill('SIGKILL');
    await handle?.ended;
  }
  for (const { mountPoint } of mountsBelow(join(machine.folder, 'run'))) unmountAll(mountPoint);
  rmSync(join(machine.folder, 'run'), { recursive: true });
  const engine = await createEngine(machine.options);
  expect(await engine.containerStatus(id)).toMatchObject({ state: 'exited', exitCode: 255 });
  expect((await engine.podSandboxStatus(id)).state).toBe('notReady');
  await engine.startPodSandbox(id);
  await engine.startContainer(id);
  while (count(id) !== 'once\nonce\n') await new Promise((done) => setTimeout(done, 5));
  await engine.removePodSandbox(id);
  await engine[Symbol.asyncDispose]();
});

test('in a mount namespace of its own, whichever processor that was made on', async () => {
  for (const made of onlineProcessors())
    for (const opened of onlineProcessors()) {
      const on = (processor: number): string[] => ['taskset', '--cpu-list', String(processor)];
      await startDaemon('running', [...on(made), 'unshare', '--mount', '--propagation', 'slave', ...on(opened)]);
      await killDaemon();
      // Its mounts went with its namespace; what it left elsewhere is taken back from here.
      const engine = await createEngine(machine.options);
      await engine.destroyAll();
    }
});

test('the folders of a container whose record is torn stay until the torn line is taken away', async () => {
  const ids = await startDaemon('running');
  await killDaemon();
  const first = await createEngine(machine.options);
  await first.stopPodSandbox(ids.sandbox);
  await first[Symbol.asyncDispose]();
  const journal = join(machine.folder, 'root/containers.journal');
  const lines = readFileSync(journal, 'utf8').split('\n');
  const torn = lines.map((line) => (line.includes(`"id":"${ids.short}"`) ? line.slice(0, 10) : line));
  writeFileSync(journal, torn.join('\n'));
  for (const left of [[ids.long, ids.short], [ids.long]]) {
    const engine = await createEngine(machine.options);
    expect((await engine.listContainers()).map(({ id }) => id)).toEqual([ids.long]);
    expect(readdirSync(join(machine.folder, 'root/layers')).sort()).toEqual(left.sort());
    await engine[Symbol.asyncDispose]();
    rmSync(`${journal}.unreadable`, { force: true });
  }
});
