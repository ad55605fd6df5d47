import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@wherry/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lastError, startFailure } from '../runtime/messages.ts';
import { availableCapabilities, capabilitiesOf } from './capabilities.ts';
import { mountsOf } from './mounts.ts';
import { resourcesSpec } from './resources.ts';
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

  test('unknown names and impossible numbers are refused', () => {
    expect(codeThrown(() => resolveUser(rootfs, 'nobody-here', {}))).toBe('invalid');
    expect(codeThrown(() => resolveUser(rootfs, 'app:nogroup', {}))).toBe('invalid');
    expect(codeThrown(() => resolveUser(rootfs, '4294967295', {}))).toBe('invalid');
  });
});

test('resources leave out what is not set', () => {
  expect(resourcesSpec({}, 2)).toEqual({});
  expect(resourcesSpec({ cpuShares: 2, cpuQuota: -1, memoryLimitBytes: 0, pidsLimit: 7, cpusetCpus: '' }, 1)).toEqual({
    cpu: { shares: 2, quota: -1 },
    pids: { limit: 7 },
  });
  const unified = { 'memory.oom.group': '1' };
  expect(resourcesSpec({ unified }, 1)).toEqual({});
  expect(resourcesSpec({ unified }, 2)).toEqual({ unified });
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
  expect(lastError('{"msg":"a","level":"error"}\n{"msg":"b","level":"warning"}\n')).toBe('a');
});
