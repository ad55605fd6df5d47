import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@wherry/base';
import type { CgroupFeatures } from '@wherry/linux';
import type { ContainerConfig, ExtendedResources } from '@wherry/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lastError, startFailure } from '../runtime/messages.ts';
import { availableCapabilities, capabilitiesOf } from './capabilities.ts';
import { devicesOf } from './devices.ts';
import { mountsOf } from './mounts.ts';
import { ownLimits, resourcesSpec } from './resources.ts';
import { defaultSeccompProfile } from './seccomp.ts';
import { resolveUser } from './user.ts';

const codeThrown = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return codeOf(error);
  }
  return undefined;
};

describe('capabilities', () => {
  const host = availableCapabilities('CapBnd:\t000001fffeffffff\n');

  test('the host gives what its bounding set has', () => {
    expect(host.has('SYS_ADMIN')).toBe(true);
    expect(host.has('SYS_RESOURCE')).toBe(false);
    expect(host.size).toBe(40);
  });

  test('defaults, additions, drops and ALL', () => {
    expect(capabilitiesOf({}, host).bounding).toHaveLength(14);
    expect(
      capabilitiesOf({ dropCapabilities: ['ALL'], addCapabilities: ['net_bind_service'] }, host).effective,
    ).toEqual(['CAP_NET_BIND_SERVICE']);
    expect(
      capabilitiesOf({ addCapabilities: ['ALL'], dropCapabilities: ['CAP_SYS_ADMIN'] }, host).bounding,
    ).toHaveLength(39);
    expect(capabilitiesOf({ privileged: true, dropCapabilities: ['ALL'] }, host).bounding).toHaveLength(40);
    expect(codeThrown(() => capabilitiesOf({ addCapabilities: ['NOSUCH'] }, host))).toBe('invalid');
    expect(codeThrown(() => capabilitiesOf({ addCapabilities: ['SYS_RESOURCE'] }, host))).toBe('invalid');
  });
});

describe('users', () => {
  let rootfs: string;
  beforeAll(() => {
    rootfs = mkdtempSync(join(tmpdir(), 'wherry-user-'));
    mkdirSync(join(rootfs, 'etc'));
    writeFileSync(join(rootfs, 'etc/passwd'), 'root:x:0:0::/:\napp:x:10:20::/:\nbroken\n');
    writeFileSync(join(rootfs, 'etc/group'), 'app:x:20:\nmore:x:30:other,app\n');
  });
  afterAll(() => rmSync(rootfs, { recursive: true }));

  test('by name, by number, with a group, over the image', () => {
    expect(resolveUser(rootfs, 'app', {})).toEqual({ uid: 10, gid: 20, additionalGids: [20, 30] });
    expect(resolveUser(rootfs, '10', {})).toEqual({ uid: 10, gid: 20, additionalGids: [20, 30] });
    expect(resolveUser(rootfs, 'app:more', {})).toEqual({ uid: 10, gid: 30, additionalGids: [30] });
    expect(resolveUser(rootfs, '777:888', {})).toEqual({ uid: 777, gid: 888, additionalGids: [888] });
    expect(resolveUser(rootfs, 'app', { runAsUser: 5, runAsGroup: 6, supplementalGroups: [7] })).toEqual({
      uid: 5,
      gid: 6,
      additionalGids: [6, 7],
    });
  });

  test('docker’s: the user’s group, and groups by name', () => {
    const asked = { runAsUsername: 'app:more', supplementalGroupNames: ['app', '99'] };
    expect(resolveUser(rootfs, 'ignored', asked)).toEqual({ uid: 10, gid: 30, additionalGids: [20, 30, 99] });
    expect(codeThrown(() => resolveUser(rootfs, '', { supplementalGroupNames: ['nosuch'] }))).toBe('invalid');
  });

  test('unknown names and impossible numbers are refused', () => {
    expect(codeThrown(() => resolveUser(rootfs, 'nobody-here', {}))).toBe('invalid');
    expect(codeThrown(() => resolveUser(rootfs, 'app:nogroup', {}))).toBe('invalid');
    expect(codeThrown(() => resolveUser(rootfs, '4294967295', {}))).toBe('invalid');
  });
});

const everything: CgroupFeatures = {
  memoryLimit: true,
  swapLimit: true,
  memoryReservation: true,
  swappiness: true,
  oomKillDisable: true,
  cpuShares: true,
  cpuQuota: true,
  cpuRealtime: true,
  cpuset: true,
  pidsLimit: true,
  blockIoWeight: true,
  blockIoThrottle: true,
  hugepages: true,
};

describe('resources', () => {
  test('what is not set is left out', () => {
    expect(resourcesSpec({}, 2, everything)).toEqual({});
    const some = {
      cpuShares: 2,
      cpuQuota: -1,
      memoryLimitBytes: 0,
      pidsLimit: 7,
      cpusetCpus: '',
      memorySwappiness: -1,
    };
    expect(resourcesSpec(some, 1, everything)).toEqual({ cpu: { shares: 2 }, pids: { limit: 7 } });
    const unified = { 'memory.oom.group': '1' };
    expect(resourcesSpec({ unified }, 1, everything)).toEqual({});
    expect(resourcesSpec({ unified }, 2, everything)).toEqual({ unified });
  });

  test('docker’s: block devices by number, and nothing that the kernel lacks', () => {
    const wanted: ExtendedResources = {
      memoryLimitBytes: 10,
      memorySwapLimitBytes: 20,
      memorySwappiness: 0,
      oomKillDisable: true,
      cpuRealtimeRuntime: 5,
      blockIoWeight: 300,
      // Any device has numbers.
      throttle: { readBps: [{ path: '/dev/null', value: 1024 }] },
    };
    expect(resourcesSpec(wanted, 1, everything)).toEqual({
      memory: { limit: 10, swap: 20, swappiness: 0, disableOOMKiller: true },
      cpu: { realtimeRuntime: 5 },
      blockIO: { throttleReadBpsDevice: [{ major: 1, minor: 3, rate: 1024 }] },
    });
    expect(ownLimits(wanted, everything)).toEqual({ blockIoWeight: 300 });
    expect(ownLimits({ blockIoWeight: 0, blockIoWeightDevices: [] }, everything)).toBeUndefined();
    const nothing = Object.fromEntries(Object.keys(everything).map((name) => [name, false]));
    expect(resourcesSpec(wanted, 1, nothing as unknown as CgroupFeatures)).toEqual({ memory: { limit: 10 } });
    const missing = { throttle: { writeIops: [{ path: '/nosuch', value: 1 }] } };
    expect(codeThrown(() => resourcesSpec(missing, 1, everything))).toBe('notFound');
  });
});

describe('devices', () => {
  const config = (change: object): ContainerConfig => ({ security: {}, ...change }) as ContainerConfig;

  test('by path, by folder, by rule', () => {
    const one = { hostPath: '/dev/null', containerPath: '/dev/mine', permissions: 'rw' };
    const { devices, rules } = devicesOf(config({ devices: [one], deviceCgroupRules: ['c 10:* m', 'a *:* rwm'] }));
    expect(devices).toMatchObject([{ path: '/dev/mine', type: 'c', major: 1, minor: 3 }]);
    expect(rules).toEqual([
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 1, minor: 3, access: 'rw' },
      { allow: true, type: 'c', major: 10, access: 'm' },
      { allow: true, type: 'a', access: 'rwm' },
    ]);
  });

  test('what is none is refused', () => {
    const device = (hostPath: string, permissions = 'r') => ({ hostPath, containerPath: '/dev/x', permissions });
    expect(codeThrown(() => devicesOf(config({ devices: [device('/etc/passwd')] })))).toBe('invalid');
    expect(codeThrown(() => devicesOf(config({ devices: [device('/etc/apt')] })))).toBe('invalid');
    expect(codeThrown(() => devicesOf(config({ devices: [device('/dev/nosuch')] })))).toBe('notFound');
    expect(codeThrown(() => devicesOf(config({ devices: [device('/dev/null', 'rwx')] })))).toBe('invalid');
    for (const rule of ['', 'c', 'c 1:3', 'd 1:3 r', 'c 1:3 rx', 'c 1:3 rwmr', 'c -1:3 r', 'c 1:3 r\n'])
      expect(codeThrown(() => devicesOf(config({ deviceCgroupRules: [rule] })))).toBe('invalid');
  });
});

test('mounts: shallow ones first, the user’s own instead of ours, none over the root', () => {
  const config = (containerPath: string) => ({
    metadata: { name: 'c', attempt: 0 },
    image: '',
    env: [],
    labels: {},
    annotations: {},
    logPath: '',
    stdin: false,
    stdinOnce: false,
    tty: false,
    security: {},
    mounts: ['/a/b/c', containerPath, '/a'].map((path) => ({ hostPath: '/tmp', containerPath: path })),
  });
  const files = { shm: '/x/shm', hostname: '/x/hostname', resolvConf: undefined };
  const list = mountsOf(config('/etc/hostname'), files);
  expect(list.filter((mount) => mount.destination === '/etc/hostname').map((mount) => mount.source)).toEqual(['/tmp']);
  expect(list.slice(-3).map((mount) => mount.destination)).toEqual(['/a', '/etc/hostname', '/a/b/c']);
  expect(codeThrown(() => mountsOf(config('/x/..'), files))).toBe('invalid');
});

test('file systems in memory are safe unless told otherwise; hostile options are refused', () => {
  const options = (given: string[]): readonly string[] | undefined => {
    const config = { mounts: [], tmpfs: [{ containerPath: '/t', options: given }], security: {} };
    const files = { shm: undefined, hostname: undefined, resolvConf: undefined };
    return mountsOf(config as unknown as ContainerConfig, files).at(-1)?.options;
  };
  expect(options(['size=64k'])).toEqual(['noexec', 'nosuid', 'nodev', 'rprivate', 'size=64k']);
  expect(options(['exec', 'dev'])).toEqual(['nosuid', 'rprivate', 'exec', 'dev']);
  for (const bad of ['', 'size=1,uid=0', 'a b', '=x']) expect(codeThrown(() => options([bad]))).toBe('invalid');
});

test('the seccomp profile lets CAP_SYS_ADMIN alone make namespaces', () => {
  const names = (capabilities: string[]): string[] =>
    (defaultSeccompProfile(capabilities).syscalls ?? [])
      .filter(({ action, args }) => action === 'SCMP_ACT_ALLOW' && args === undefined)
      .flatMap((rule) => rule.names);
  expect(names([])).toContain('openat');
  for (const name of ['mount', 'unshare', 'bpf', 'keyctl', 'kexec_load', 'clone'])
    expect(names([])).not.toContain(name);
  expect(names(['CAP_SYS_ADMIN'])).toContain('unshare');
});

test('a runtime’s words become those of runc', () => {
  expect(startFailure('executable file `x` not found in $PATH: No such file or directory', ['x'])).toBe(
    'exec: "x": executable file not found in $PATH',
  );
  expect(startFailure('chdir `/nope`: No such file or directory', ['x'])).toBe(
    'chdir to cwd ("/nope") set in config.json failed: no such file or directory',
  );
  expect(startFailure('something else', ['x'])).toBe('something else');
  const ours = 'exec: "x": executable file not found in $PATH';
  for (const before of [
    'runc create failed: unable to start container process: ',
    'exec failed: unable to start container process: ',
  ])
    expect(startFailure(before + ours, ['x'])).toBe(ours);
  expect(startFailure('setrlimit `RLIMIT_NOFILE`: Operation not permitted', ['x'])).toMatch(
    /error setting rlimit type 7: operation not permitted$/,
  );
  expect(lastError('{"msg":"a","level":"error"}\n{"msg":"b","level":"warning"}\n')).toBe('a');
});
