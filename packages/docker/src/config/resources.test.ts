import { expect, test } from 'vitest';
import { decodeCreate } from './decode.ts';
import { checkResources, type HostFacts } from './resources.ts';
import type { Resources } from './types.ts';

const none: HostFacts['cgroupFeatures'] = {
  memoryLimit: false,
  swapLimit: false,
  memoryReservation: false,
  swappiness: false,
  oomKillDisable: false,
  cpuShares: false,
  cpuQuota: false,
  cpuRealtime: false,
  cpuset: false,
  pidsLimit: false,
  blockIoWeight: false,
  blockIoThrottle: false,
  hugepages: false,
};

const facts = (cgroupFeatures: HostFacts['cgroupFeatures']): HostFacts => ({
  processors: 2,
  cpus: new Set([0, 1]),
  memoryNodes: new Set([0]),
  cgroupFeatures,
});

const resources = (given: Partial<Record<keyof Resources, unknown>>): Resources =>
  decodeCreate({ Image: 'x', HostConfig: given }).host;

test.each<[Partial<Record<keyof Resources, unknown>>, string, Partial<Resources>]>([
  [
    { Memory: 64 << 20, MemorySwap: 128 << 20 },
    'Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.',
    { Memory: 0, MemorySwap: -1 },
  ],
  [
    { MemorySwappiness: 3 },
    'Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.',
    { MemorySwappiness: null },
  ],
  [
    { MemoryReservation: 64 << 20 },
    'Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.',
    { MemoryReservation: 0 },
  ],
  [
    { OomKillDisable: true },
    'Your kernel does not support OomKillDisable. OomKillDisable discarded.',
    { OomKillDisable: null },
  ],
  [
    { PidsLimit: 9 },
    'Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.',
    { PidsLimit: null },
  ],
  [
    { CpuShares: 9 },
    'Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.',
    { CpuShares: 0 },
  ],
  [
    { CpuQuota: 5 },
    'Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.',
    { CpuQuota: 0, CpuPeriod: 0 },
  ],
  [
    { CpusetCpus: '9' },
    'Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.',
    { CpusetCpus: '' },
  ],
  [
    { BlkioWeight: 5 },
    'Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.',
    { BlkioWeight: 0 },
  ],
  [
    { BlkioWeightDevice: [{ Path: '/dev/nosuch', Weight: 100 }] },
    'Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.',
    { BlkioWeightDevice: [] },
  ],
  [
    { BlkioDeviceReadBps: [{ Path: '/dev/nosuch', Rate: 100 }] },
    'Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.',
    { BlkioDeviceReadBps: [] },
  ],
])('%j is discarded by a kernel without it', (given, warning, left) => {
  const wanted = resources(given);
  expect(checkResources(wanted, facts(none), false)).toEqual([warning]);
  expect(wanted).toMatchObject(left);
});

test('without swap accounting memory is limited alone', () => {
  const wanted = resources({ Memory: 64 << 20, MemorySwap: 1 });
  expect(checkResources(wanted, facts({ ...none, memoryLimit: true }), false)).toEqual([
    'Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.',
  ]);
  expect(wanted).toMatchObject({ Memory: 64 << 20, MemorySwap: -1 });
});

test('processors cannot be limited without the scheduler for it', () => {
  expect(() => checkResources(resources({ NanoCpus: 1e9 }), facts(none), false)).toThrow(
    'NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted',
  );
});

const all = Object.fromEntries(Object.keys(none).map((name) => [name, true])) as unknown as typeof none;

test.each<[Partial<Record<keyof Resources, unknown>>, string]>([
  [{ Memory: -1 }, 'Minimum memory limit allowed is 6MB'],
  [{ CpusetCpus: '99999' }, 'Invalid value 99999 for cpuset cpus: value of out range, maximum is 8192'],
  [{ CpusetCpus: '0-' }, 'Invalid value 0- for cpuset cpus: invalid format: 0-'],
  [{ IOMaximumIOps: 5 }, 'Invalid QoS settings: linux does not support configuration of maximum IOPs'],
  [{ MemorySwappiness: 101 }, 'Invalid value: 101, valid memory swappiness range is 0-100'],
])('%j is refused', (given, message) => {
  expect(() => checkResources(resources(given), facts(all), false)).toThrow(message);
});

test('an update words limits of Windows otherwise; percents are discarded', () => {
  expect(() => checkResources(resources({ IOMaximumIOps: 5 }), facts(all), true)).toThrow(
    'Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps',
  );
  expect(checkResources(resources({ CpuPercent: 5 }), facts(all), false)).toEqual([
    'linux does not support CPU percent. Percent discarded.',
  ]);
});
