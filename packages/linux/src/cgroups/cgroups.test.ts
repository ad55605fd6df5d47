import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseMountInfo } from '../filesystem/mount-table.ts';
import { CgroupsVersion2, cgroupLayout, weightOfShares } from './index.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'wherry-cg-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const line = (mountPoint: string, type: string, options: string): string =>
  `31 23 0:28 / ${mountPoint} rw,relatime shared:9 - ${type} ${type} rw,${options}`;

test('layouts are told apart', () => {
  const v1 = [line('/c/cpu,cpuacct', 'cgroup', 'cpu,cpuacct'), line('/c/systemd', 'cgroup', 'xattr,name=systemd')];
  const v2 = line('/c/unified', 'cgroup2', 'nsdelegate');
  const layout = (lines: string[]) => cgroupLayout(parseMountInfo(lines.join('\n')));
  expect(layout(v1).kind).toBe('legacy');
  expect(layout([...v1, v2]).kind).toBe('hybrid');
  expect(layout([v1[1] as string, v2])).toEqual({ kind: 'unified', unified: '/c/unified' });
  expect(layout(v1)).toMatchObject({
    controllers: new Map([
      ['cpu', '/c/cpu,cpuacct'],
      ['cpuacct', '/c/cpu,cpuacct'],
      ['name=systemd', '/c/systemd'],
    ]),
  });
  expect(() => layout([])).toThrow();
});

test('processes at the top of a cgroup namespace make room for controllers', () => {
  for (const [file, content] of [
    ['cgroup.controllers', 'cpu memory pids'],
    ['cgroup.subtree_control', 'cpu memory pids'],
  ] as const)
    writeFileSync(join(root, file), content);
  new CgroupsVersion2(root).create('/a/b');
  expect(existsSync(join(root, 'a/b'))).toBe(true);
  expect(existsSync(join(root, 'init'))).toBe(false); // nothing was in the way
});

test('shares become weights over the whole range', () => {
  expect([0, 2, 1024, 262144, 1e9].map(weightOfShares)).toEqual([1, 1, 39, 10000, 10000]);
});

test('version 2 writes its own files', () => {
  const group = join(root, 'g');
  mkdirSync(group);
  for (const file of ['cpu.weight', 'cpu.max', 'memory.max', 'memory.swap.max', 'pids.max', 'memory.high'])
    writeFileSync(join(group, file), file === 'cpu.max' ? 'max 100000' : '');
  const cgroups = new CgroupsVersion2(root);
  cgroups.limit('/g', {
    cpuShares: 1024,
    cpuQuota: 50000,
    memoryLimitBytes: 1000,
    memorySwapLimitBytes: 1500,
    pidsLimit: -1,
    unified: { 'memory.high': '900' },
  });
  const read = (file: string): string => readFileSync(join(group, file), 'utf8');
  expect(read('cpu.weight').trim()).toBe('39');
  expect(read('cpu.max')).toBe('50000 100000');
  expect(read('memory.max')).toBe('1000');
  expect(read('memory.swap.max')).toBe('500');
  expect(read('pids.max')).toBe('max');
  expect(read('memory.high')).toBe('900');
  const fails = (key: string): unknown => {
    try {
      cgroups.limit('/g', { unified: { [key]: '1' } });
    } catch (error) {
      return codeOf(error);
    }
    return undefined;
  };
  expect(fails('../../x.y')).toBe('invalid');
  expect(fails('memory.none')).toBe('notFound');
});
