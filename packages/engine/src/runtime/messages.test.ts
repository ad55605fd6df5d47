import type { RuntimeSpec } from '@wherry/oci';
import { expect, test } from 'vitest';
import { failedInside, refusedBefore } from './failures.ts';
import { startFailure } from './messages.ts';

const spec = {
  process: { args: ['x'] },
  mounts: [
    {
      destination: '/t',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['noexec', 'nosuid', 'nodev', 'rprivate', 'size=abc'],
    },
    { destination: '/etc/passwd', type: 'bind', source: '/tmp', options: ['rbind', 'rprivate'] },
  ],
  linux: {
    cgroupsPath: '/docker/id',
    resources: {
      cpu: { quota: 500 },
      blockIO: { throttleReadBpsDevice: [{ major: 1, minor: 3, rate: 1024 }] },
    },
  },
} as unknown as RuntimeSpec;

test.each([
  [
    'writing file `cpu.cfs_quota_us`: Invalid argument',
    'error during container init: error setting cgroup config for procHooks process: failed to write "500": write /sys/fs/cgroup/cpu/docker/id/cpu.cfs_quota_us: invalid argument',
  ],
  [
    'write `blkio.throttle.read_bps_device`: No such device',
    'error during container init: error setting cgroup config for procHooks process: failed to write "1:3 1024": write /sys/fs/cgroup/blkio/docker/id/blkio.throttle.read_bps_device: no such device',
  ],
  [
    'mount `tmpfs` to `t`: Invalid argument',
    'error during container init: error mounting "tmpfs" to rootfs at "/t": mount tmpfs:/t (via /proc/self/fd/6), flags: 0xe, data: size=abc: invalid argument',
  ],
  [
    'mount `/run/relay/10` to `etc/passwd`: Not a directory',
    'error during container init: error mounting "/tmp" to rootfs at "/etc/passwd": mount /tmp:/etc/passwd (via /proc/self/fd/6), flags: 0x5000: not a directory',
  ],
  ['sethostname: Invalid argument', 'error during container init: sethostname: invalid argument'],
  // Settings and mounts that were not asked for stay as crun says it.
  ['writing file `cpu.shares`: Invalid argument', 'writing file `cpu.shares`: Invalid argument'],
  ['mount `proc` to `proc`: Invalid argument', 'mount `proc` to `proc`: Invalid argument'],
])('crun says %j', (said, words) => {
  expect(startFailure(said, ['x'], spec)).toBe(words);
});

test('a command of no letters is not found', () => {
  expect(startFailure('open executable: Permission denied', [''])).toBe('exec: "": executable file not found in $PATH');
  expect(startFailure('open executable: Permission denied', ['/etc'])).toBe('exec: "/etc": permission denied');
});

test('what the engine does in the runtime’s place fails in its words', () => {
  const created =
    'failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed:';
  expect(refusedBefore('no')).toMatchObject({
    message: `${created} no: unknown`,
    details: { reason: 'no', stage: 'checking' },
  });
  expect(failedInside('no')).toMatchObject({
    message: `${created} unable to start container process: error during container init: no: unknown`,
    details: { reason: 'error during container init: no', stage: 'starting' },
  });
});
