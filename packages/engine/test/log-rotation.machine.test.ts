import { existsSync, readdirSync, readFileSync, renameSync, unlinkSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { errnoOf } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createEngine, type Engine } from '../src/index.ts';
import { containerConfig, exitOf, podConfig, type TestMachine, testMachine } from './machine.ts';

let machine: TestMachine;
let engine: Engine;
beforeEach(async () => {
  machine = testMachine();
  engine = await createEngine(machine.options);
});
afterEach(async () => {
  await engine[Symbol.asyncDispose]();
  await machine[Symbol.asyncDispose]();
});

/** What is at a path, which a rotation may just be taking away: nothing then. */
function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

const numbers = (path: string): number[] =>
  [...(contentOf(path) ?? '').matchAll(/^\S+ stdout F n(\d+)$/gm)].map((match) => Number(match[1]));
/** Infinite where nothing is. */
const sizeOf = (path: string): number => contentOf(path)?.length ?? Number.POSITIVE_INFINITY;
const files = (path: string): string[] =>
  readdirSync(dirname(path))
    .filter((name) => name.startsWith(basename(path)))
    .sort();

async function started(script: string, logRotation: { maxBytes: number; maxFiles: number }): Promise<string> {
  const sandbox = await engine.runPodSandbox(podConfig(machine));
  const change = { logRotation, stdin: true, restartable: true };
  const id = await engine.createContainer(sandbox.id, containerConfig(['sh', '-c', script], change));
  await engine.startContainer(id);
  return id;
}

async function send(id: string, text: string): Promise<void> {
  await using session = await engine.attach(id, { tty: false, stdin: true, stdout: false, stderr: false });
  await new Promise<void>((resolve) => session.stdin?.write(text, () => resolve()));
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

test('a log that is written to is rotated: no line is lost, none comes twice', async () => {
  const id = await started('i=0; while read to; do while [ $i -lt $to ]; do i=$((i+1)); echo n$i; done; done', {
    maxBytes: 2000,
    maxFiles: 3,
  });
  const path = (await engine.containerStatus(id)).logPath;
  const all = (): number[] => ['.2', '.1', ''].flatMap((end) => numbers(path + end));
  // Some 50 bytes a line: a rotation comes at the latest with the fifth ten, long before so many that they are a burst.
  for (let to = 10; to <= 240; to += 10) {
    await send(id, `${to}\n`);
    await until(() => sizeOf(path) < 2000 && all().at(-1) === to);
  }
  expect(files(path)).toEqual(['0.log', '0.log.1', '0.log.2']);
  const kept = all();
  expect(kept.length).toBeGreaterThan(70);
  expect(kept).toEqual(kept.map((_, index) => 240 - kept.length + 1 + index));
}, 20_000);

test('a burst stays within the limits, at the end of the container too', async () => {
  const id = await started(
    'for i in $(busybox seq 5000); do echo n$i; done; read go; for i in $(busybox seq 5001 5200); do echo n$i; done',
    {
      maxBytes: 1024,
      maxFiles: 2,
    },
  );
  const path = (await engine.containerStatus(id)).logPath;
  await until(() => sizeOf(`${path}.1`) < 3000 && existsSync(path));
  await send(id, 'go\n');
  expect(await exitOf(engine, id)).toMatchObject({ exitCode: 0 });
  const left = files(path)
    .reverse()
    .flatMap((name) => numbers(`${dirname(path)}/${name}`));
  expect(left.at(-1)).toBe(5200);
  expect(left.length).toBeLessThanOrEqual(60);
  expect(left).toEqual(left.map((_, index) => 5200 - left.length + 1 + index));
});

test('killed between renaming and the new file: the next engine has it made, and nothing of it is lost', async () => {
  const id = await started('echo n1; read go; echo n2; read go; echo n3; sleep 1000', {
    maxBytes: 100_000,
    maxFiles: 2,
  });
  const path = (await engine.containerStatus(id)).logPath;
  await until(() => numbers(path).length === 1);
  await engine[Symbol.asyncDispose]();
  renameSync(path, `${path}.1`);
  engine = await createEngine(machine.options);
  await send(id, 'go\n');
  await until(() => existsSync(path));
  await send(id, 'go\n');
  await until(() => numbers(path).includes(3));
  expect([...numbers(`${path}.1`), ...numbers(path)]).toEqual([1, 2, 3]);
  unlinkSync(`${path}.1`);
});
