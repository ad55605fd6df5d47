import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onlineProcessors } from '@wherry/linux';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createEngine } from '../src/index.ts';
import { exitOf, type TestMachine, testMachine } from './machine.ts';

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

test('killed while containers run: they are taken over, ends meanwhile are known', async () => {
  const ids = await startDaemon('running');
  const exits = join(machine.folder, 'run/exits');
  await killDaemon();
  // The short one ends while nobody watches: its monitor's file says so.
  for (let turn = 0; turn < 300; turn++) {
    try {
      readFileSync(join(exits, ids.short));
      break;
    } catch {
      await new Promise((done) => setTimeout(done, 10));
    }
  }
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
    for (let turn = 0; turn < 300 && count(ids.long) === ''; turn++) await new Promise((done) => setTimeout(done, 10));
    expect(count(ids.long)).toBe('once\n');
    await engine.removePodSandbox(ids.sandbox);
    await engine[Symbol.asyncDispose]();
  }
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

test('a record that a power cut tore is dropped with its folders', async () => {
  const ids = await startDaemon('running');
  await killDaemon();
  const first = await createEngine(machine.options);
  await first.stopPodSandbox(ids.sandbox);
  await first[Symbol.asyncDispose]();
  writeFileSync(join(machine.folder, 'root/containers', `${ids.short}.json`), '{"ver');
  const engine = await createEngine(machine.options);
  expect((await engine.listContainers()).map(({ id }) => id)).toEqual([ids.long]);
  expect(() => readFileSync(join(machine.folder, 'root/layers', ids.short))).toThrow(/ENOENT/);
  await engine[Symbol.asyncDispose]();
});
