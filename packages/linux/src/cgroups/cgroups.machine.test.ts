import { writeSync } from 'node:fs';
import { systemRandom } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { closeQuietly, findProgram, openPipe, spawnProgram } from '../processes/index.ts';
import { openCgroups } from './index.ts';

const cgroups = openCgroups();
let parent: string;
beforeEach(() => {
  parent = `/wt-${systemRandom.hex(8)}`;
});
afterEach(() => {
  cgroups.kill(parent);
  expect(cgroups.remove(parent)).toBe(true);
  expect(cgroups.exists(parent)).toBe(false);
});

test('a group takes limits and processes, freezes, counts and kills them', async () => {
  const path = `${parent}/pods/one`;
  cgroups.create(path);
  cgroups.create(path);
  cgroups.limit(path, {
    memoryLimitBytes: 64 << 20,
    memorySwapLimitBytes: 64 << 20,
    cpuShares: 512,
    cpuQuota: 50_000,
    cpuPeriod: 100_000,
    pidsLimit: 20,
    cpusetCpus: '0',
  });
  cgroups.limit(path, { memoryLimitBytes: 128 << 20, memorySwapLimitBytes: 128 << 20 });
  const child = spawnProgram({ path: findProgram('sleep'), args: ['1000'] });
  cgroups.attach(path, child.pid);
  expect(cgroups.processes(parent)).toEqual([child.pid]);
  expect(cgroups.stats(path)).toMatchObject({ pids: 1 });
  expect(cgroups.remove(parent)).toBe(false);
  cgroups.freeze(path, true);
  cgroups.freeze(path, false);
  expect(cgroups.kill(parent)).toBe(1);
  expect((await child.exited).signal).toBe(9);
  expect(cgroups.processes(parent)).toEqual([]);
  expect(cgroups.oomKills(path)).toBe(0);
});

test('a process that takes too much memory is killed, and counted', async () => {
  const path = `${parent}/small`;
  cgroups.create(path);
  cgroups.limit(path, { memoryLimitBytes: 8 << 20, memorySwapLimitBytes: 8 << 20 });
  const start = openPipe();
  const child = spawnProgram({
    path: '/bin/sh',
    args: ['-c', 'read go; head -c 64m /dev/zero | tail'],
    descriptors: { 0: start.read },
  });
  cgroups.attach(path, child.pid);
  writeSync(start.write, 'go\n');
  closeQuietly(start.read, start.write);
  expect(await child.exited).toEqual({ exitCode: 137, signal: undefined });
  expect(cgroups.oomKills(path)).toBe(1);
});
