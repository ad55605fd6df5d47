import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { codeOf, VirtualClock } from '@wherry/base';
import { expect, test } from 'vitest';
import {
  adoptOrphans,
  closeQuietly,
  findProgram,
  openPipe,
  ProcessHandle,
  processStartTime,
  runProgram,
  sealProgram,
  spawnProgram,
  streamOfDescriptor,
} from './index.ts';

const code = (error: unknown): unknown => codeOf(error);

test('runs a program, gives its outputs and its exit code', async () => {
  const result = await runProgram({
    path: findProgram('sh'),
    args: ['-c', 'echo "$A"; pwd; echo err >&2; exit 7'],
    env: { A: 'b c' },
    workingDirectory: '/tmp',
  });
  expect(result).toMatchObject({ exitCode: 7, signal: undefined });
  expect(result.stdout.toString()).toBe('b c\n/tmp\n');
  expect(result.stderr.toString()).toBe('err\n');
});

test('a signal gives 128 + n; output is bounded; a missing program is notFound', async () => {
  expect(await runProgram({ path: '/bin/sh', args: ['-c', 'kill -9 $$'] })).toMatchObject({ exitCode: 137, signal: 9 });
  const long = await runProgram({ path: '/bin/sh', args: ['-c', 'head -c 300000 /dev/zero'], limit: 1000 });
  expect(long.stdout).toHaveLength(1000);
  expect(await runProgram({ path: '/nosuch', args: [] }).catch(code)).toBe('notFound');
});

test('a sealed program runs and cannot be written to', async () => {
  const sealed = sealProgram(findProgram('echo'));
  expect((await runProgram({ path: sealed.path, args: ['sealed'] })).stdout.toString()).toBe('sealed\n');
  expect(() => writeFileSync(sealed.path, 'other')).toThrow(/EPERM|ETXTBSY/);
  expect((await runProgram({ path: sealed.path, args: ['still'] })).stdout.toString()).toBe('still\n');
  sealed[Symbol.dispose]();
});

test('the timeout kills', async () => {
  const clock = new VirtualClock();
  const run = runProgram({ path: findProgram('sleep'), args: ['1000'], timeout: 5000, clock }).catch(code);
  await clock.advance(5000);
  expect(await run).toBe('timeout');
});

test('no descriptor leaks, neither here nor into the child', async () => {
  const open = (): number => readdirSync('/proc/self/fd').length;
  await runProgram({ path: '/bin/true', args: [] });
  const before = open();
  // As many as would be seen beside what the tests before this one have still to close.
  for (let count = 0; count < 20; count++) {
    const listing = await runProgram({ path: '/bin/ls', args: ['/proc/self/fd'] });
    expect(listing.stdout.toString().trim().split('\n')).toEqual(['0', '1', '2', '3']);
  }
  await expect.poll(open).toBeLessThanOrEqual(before);
});

test('descriptors are given by number, also crosswise', async () => {
  const a = openPipe();
  const b = openPipe();
  const child = spawnProgram({
    path: '/bin/sh',
    args: ['-c', 'echo to-a >&5; echo to-b >&4'],
    descriptors: { 5: a.write, 4: b.write },
  });
  const read = async (end: number): Promise<string> => {
    let text = '';
    for await (const chunk of streamOfDescriptor(end, { writable: false })) text += String(chunk);
    return text;
  };
  const { closeQuietly } = await import('./descriptors.ts');
  closeQuietly(a.write, b.write);
  expect(await Promise.all([read(a.read), read(b.read), child.exited])).toEqual([
    'to-a\n',
    'to-b\n',
    { exitCode: 0, signal: undefined },
  ]);
});

test('a handle knows its process by number and start time', async () => {
  const child = spawnProgram({ path: findProgram('sleep'), args: ['1000'] });
  const start = processStartTime(child.pid);
  expect(ProcessHandle.open(child.pid, '1')).toBeUndefined();
  using handle = ProcessHandle.open(child.pid, start);
  expect(handle?.kill('SIGTERM')).toBe(true);
  await handle?.ended;
  expect(await child.exited).toEqual({ exitCode: 143, signal: 15 });
  expect(ProcessHandle.open(child.pid, start)).toBeUndefined();
});

test('processes that are held take one descriptor each, and none of the low ones', async () => {
  const numbers = (): number[] => readdirSync('/proc/self/fd').map(Number);
  const child = spawnProgram({ path: findProgram('sleep'), args: ['1000'] });
  const before = new Set(numbers());
  const handles = Array.from({ length: 5 }, () => ProcessHandle.open(child.pid));
  // The listing itself has a low one.
  const pidfds = numbers().filter((number) => !before.has(number));
  expect(pidfds).toHaveLength(5);
  expect(Math.min(...pidfds)).toBeGreaterThanOrEqual(1024);
  handles[0]?.[Symbol.dispose]();
  handles[1]?.kill('SIGKILL');
  await Promise.all(handles.slice(1).map((handle) => handle?.ended));
  await child.exited;
  expect(handles.map((handle) => handle?.kill('SIGKILL'))).toEqual(handles.map(() => false));
  expect(numbers().filter((number) => number >= 1024)).toEqual([]);
});

test('an orphan is adopted and reaped; children keep their status', async () => {
  adoptOrphans();
  const out = openPipe();
  const hold = openPipe();
  const parent = spawnProgram({
    path: findProgram('sh'),
    args: ['-c', '(read go <&3; exit 9) & echo $!'],
    descriptors: { 1: out.write, 3: hold.read },
    newSession: true,
  });
  closeQuietly(out.write, hold.read);
  let text = '';
  for await (const chunk of streamOfDescriptor(out.read, { writable: false })) {
    text += String(chunk);
    if (text.includes('\n')) break;
  }
  const pid = Number(text);
  expect(await parent.exited).toEqual({ exitCode: 0, signal: undefined });
  expect(readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[3]).toBe(String(process.pid));
  const orphan = ProcessHandle.open(pid);
  closeQuietly(hold.write);
  await orphan?.ended;
  while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setImmediate(resolve));
  const child = spawnProgram({ path: findProgram('sh'), args: ['-c', 'exit 5'], newSession: true });
  expect((await child.exited).exitCode).toBe(5);
});
