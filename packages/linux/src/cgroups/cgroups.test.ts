import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseMountInfo } from '../filesystem/mount-table.ts';
import { CgroupsVersion1, CgroupsVersion2, cgroupLayout, weightOfShares } from './index.ts';

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
  const copies = [...v1, v2].map((text) => text.replace(' /c/', ' /somewhere/c/'));
  expect(layout([...copies, ...v1, v2, ...copies])).toEqual(layout([...v1, v2]));
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

const written = (files: Readonly<Record<string, string>>): void => {
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(join(root, file, '..'), { recursive: true });
    writeFileSync(join(root, file), content);
  }
};

test('version 2: docker’s settings of block devices and memory; what it has not is known', () => {
  written({ 'g/io.weight': '', 'g/io.max': '', 'g/memory.low': '', 'g/cgroup.controllers': 'cpu io memory' });
  const cgroups = new CgroupsVersion2(root);
  cgroups.limit('/g', {
    blockIoWeight: 1000,
    memoryReservationBytes: 77,
    memorySwappiness: 5,
    throttle: { readBps: [{ path: '/dev/null', value: 4096 }] },
  });
  const read = (file: string): string => readFileSync(join(root, 'g', file), 'utf8');
  expect([read('io.weight'), read('io.max'), read('memory.low')]).toEqual(['default 10000', '1:3 rbps=4096', '77']);
  cgroups.limit('/g', { throttle: { writeIops: [{ path: '/dev/null', value: 0 }] } });
  expect(read('io.max')).toContain('1:3 wiops=max');
  expect(cgroups.features('/g')).toMatchObject({
    blockIoWeight: true,
    blockIoThrottle: true,
    memoryReservation: true,
    swapLimit: false,
    swappiness: false,
    hugepages: false,
  });
});

test('all counters in one shape: version 2', () => {
  written({
    'g/cpu.stat': 'usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\n',
    'g/memory.current': '5000\n',
    'g/memory.peak': '6000\n',
    'g/memory.max': 'max\n',
    'g/memory.events': 'low 0\nmax 9\noom_kill 1\n',
    'g/memory.stat': 'anon 10\ninactive_file 20\n',
    'g/io.stat': '254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:0 \n',
    'g/pids.current': '3\n',
    'g/pids.max': '50\n',
  });
  const device = { major: 254, minor: 0 };
  expect(new CgroupsVersion2(root).metrics('/g')).toEqual({
    cpu: {
      totalNanoseconds: 3_000_000n,
      userNanoseconds: 2_000_000n,
      systemNanoseconds: 1_000_000n,
      perCpuNanoseconds: undefined,
      periods: 4,
      throttledPeriods: 2,
      throttledNanoseconds: 7000n,
    },
    memory: {
      usageBytes: 5000,
      maxUsageBytes: 6000,
      limitBytes: undefined,
      failures: 9,
      statistics: { anon: 10, inactive_file: 20 },
    },
    blockIo: [
      { ...device, operation: 'read', bytes: 4096, operations: 1 },
      { ...device, operation: 'write', bytes: 8192, operations: 2 },
      { ...device, operation: 'discard', bytes: 0, operations: 0 },
    ],
    pids: { current: 3, limit: 50 },
  });
  expect(new CgroupsVersion2(root).metrics('/gone')).toMatchObject({ memory: { usageBytes: 0 }, blockIo: [] });
});

test('all counters in one shape: version 1', () => {
  written({
    'cpuacct/g/cpuacct.usage': '9007199254740993\n',
    'cpuacct/g/cpuacct.usage_percpu': '5 6 \n',
    'cpuacct/g/cpuacct.stat': 'user 2\nsystem 1\n',
    'memory/g/memory.usage_in_bytes': '5000\n',
    'memory/g/memory.limit_in_bytes': '9223372036854771712\n',
    'memory/g/memory.failcnt': '2\n',
    'blkio/g/blkio.throttle.io_service_bytes': '8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\nTotal 4096\n',
    'blkio/g/blkio.throttle.io_serviced': '8:0 Read 3\n',
    'pids/g/pids.max': 'max\n',
  });
  const names = ['cpuacct', 'memory', 'blkio', 'pids'];
  const metrics = new CgroupsVersion1(new Map(names.map((name) => [name, join(root, name)]))).metrics('/g');
  expect(metrics.cpu).toMatchObject({
    totalNanoseconds: 9007199254740993n,
    perCpuNanoseconds: [5n, 6n],
    userNanoseconds: 20_000_000n,
    periods: 0,
  });
  expect(metrics.memory).toMatchObject({ usageBytes: 5000, limitBytes: undefined, failures: 2 });
  expect(metrics.blockIo[0]).toEqual({ major: 8, minor: 0, operation: 'read', bytes: 4096, operations: 3 });
  expect(metrics.pids).toEqual({ current: 0, limit: undefined });
});
