import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { codeOf } from '@wherry/base';
import { mount, mountFlags, mountTmpfs, openCgroups, unmountAll } from '@wherry/linux';
import type { ContainerConfig, ExtendedResources, PodSandboxConfig } from '@wherry/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createEngine, type Engine } from '../src/index.ts';
import { containerConfig, podConfig, type TestMachine, testMachine } from './machine.ts';

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

const text = async (stream: Readable | undefined): Promise<string> => {
  let read = '';
  for await (const chunk of stream ?? []) read += String(chunk);
  return read;
};

/** As `docker run --rm` does it: what the script writes, both outputs. */
async function run(
  script: string,
  change: Partial<ContainerConfig> = {},
  pod: Partial<PodSandboxConfig> = {},
): Promise<string> {
  const namespaces = { network: 'unmanaged', pid: 'container', ipc: 'pod' } as const;
  const sandbox = await engine.definePodSandbox(podConfig(machine, { namespaces, cgroupParent: 'docker', ...pod }));
  await engine.startPodSandbox(sandbox);
  try {
    const config = containerConfig(['sh', '-c', script], { restartable: true, ...change });
    const id = await engine.createContainer(sandbox, config);
    const session = await engine.attachEarly(id, { tty: false, stdin: false, stdout: true, stderr: true });
    await engine.startContainer(id);
    const outputs = await Promise.all([text(session.stdout), text(session.stderr)]);
    await session.exit;
    return outputs.join('');
  } finally {
    await engine.removePodSandbox(sandbox);
  }
}

const noNewline = (value: string): string => value.trim();
const failure = (error: Error): string => error.message;

test('what docker’s default container sees', async () => {
  const seccomp = { seccomp: { type: 'RuntimeDefault' } } as const;
  const seen = await run('cat /proc/mounts; grep -E "Cap|Seccomp:" /proc/self/status; ls /dev', { security: seccomp });
  for (const line of [
    'proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0',
    'tmpfs /dev tmpfs rw,nosuid,size=65536k,mode=755 0 0',
    'devpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666 0 0',
    'sysfs /sys sysfs ro,nosuid,nodev,noexec,relatime 0 0',
    'mqueue /dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime 0 0',
    'shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k 0 0',
    'CapEff:\t00000000a80425fb',
    'CapBnd:\t00000000a80425fb',
    'CapInh:\t0000000000000000',
    'Seccomp:\t2',
  ])
    expect(seen.split('\n')).toContain(line);
  const devices = 'fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero'.split(' ');
  expect(seen.trim().split('\n').slice(-devices.length)).toEqual(devices);
  expect(seen).toMatch(/ \/proc\/timer_list /);
  const bare = await run('cat /proc/mounts', { security: { maskedPaths: [], readonlyPaths: [] } });
  expect(bare).not.toMatch(/ \/proc\//);
  const privileged = await run('grep CapEff /proc/self/status; ls /dev/mem /dev/vda; cat /proc/mounts', {
    security: { privileged: true },
    devices: [{ hostPath: '/dev/null', containerPath: '/dev/mem', permissions: 'r' }],
  });
  expect(privileged).toContain('sysfs /sys sysfs rw,nosuid');
  expect(privileged).not.toMatch(/ \/proc\//);
});

test('limits of processes: rlimits, oom score; what the machine cannot give says so as runc does', async () => {
  const nofile = (soft: number, hard: number) => ({ rlimits: [{ name: 'nofile', soft, hard }] });
  expect(await run('ulimit -Sn; ulimit -Hn', nofile(1024, 2048))).toBe('1024\n2048\n');
  expect(await run('cat /proc/self/oom_score_adj', { resources: { oomScoreAdj: 500 } })).toBe('500\n');
  const status = readFileSync('/proc/self/status', 'utf8');
  const mayRaise = (BigInt(`0x${/^CapBnd:\s*(\S+)/m.exec(status)?.[1]}`) >> 24n) & 1n;
  if (mayRaise === 1n) return;
  expect(await run('true', nofile(1 << 20, 1 << 20)).catch(failure)).toMatch(
    /unable to start container process: error during container init: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted: unknown$/,
  );
  expect(await run('true', { resources: { oomScoreAdj: -500 } }).catch(failure)).toMatch(/from pipe: EOF: unknown$/);
});

test('an init that reaps and forwards; file systems in memory; shared memory of a size', async () => {
  const seen = await run(
    'tr "\\0" " " < /proc/1/cmdline; echo; cat /proc/mounts; exit 3',
    {
      init: true,
      tmpfs: [{ containerPath: '/t', options: ['rw', 'size=1m'] }],
    },
    { sharedMemoryBytes: 1 << 20 },
  );
  expect(seen).toMatch(/^\/sbin\/docker-init -- sh -c /);
  expect(seen).toContain('tmpfs /t tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k 0 0\n');
  expect(seen).toContain('shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k 0 0\n');
});

test('binds: recursive or not, read-only all the way down; devices and who may use them', async () => {
  const volume = join(machine.folder, 'volume');
  mkdirSync(join(volume, 'inner'), { recursive: true });
  mountTmpfs(join(volume, 'inner'), { sizeBytes: 1 << 20 });
  writeFileSync(join(volume, 'inner/f'), 'deep\n');
  try {
    const bind = (change: object) => ({ mounts: [{ hostPath: volume, containerPath: '/v', ...change }] });
    expect(await run('cat /v/inner/f; echo x > /v/inner/g && echo written', bind({}))).toBe('deep\nwritten\n');
    expect(await run('ls /v/inner', bind({ recursive: false }))).toBe('');
    expect(await run('echo x > /v/inner/g && echo written', bind({ readOnly: true }))).toBe('written\n');
    const whole = bind({ readOnly: true, recursiveReadOnly: true });
    expect(await run('echo x > /v/inner/g && echo written', whole)).toContain('Read-only file system');
    const file = { hostPath: join(volume, 'inner/f'), readOnly: true, recursiveReadOnly: true };
    expect(await run('cat /v; echo x > /v', { mounts: [{ ...file, containerPath: '/v' }] })).toMatch(
      /^deep\n.*Read-only file system/,
    );
    // What is read-only on the host stays so.
    const { remount, bind: again, readOnly, noDevices } = mountFlags;
    mount({ source: 'none', target: join(volume, 'inner'), flags: remount | again | readOnly | noDevices });
    const inner = { mounts: [{ hostPath: join(volume, 'inner'), containerPath: '/v' }] };
    expect(await run('grep " /v " /proc/mounts', inner)).toMatch(/ ro,nodev/);
  } finally {
    unmountAll(join(volume, 'inner'));
  }
  const device = { hostPath: '/dev/null', containerPath: '/dev/mine', permissions: 'rw' };
  expect(await run('echo x > /dev/mine && ls -l /dev/mine', { devices: [device] })).toMatch(/^crw-rw-rw- .* 1, +3 /);
});

test('an own seccomp profile; groups by name; sysctls of its namespaces and domain name', async () => {
  const profile = JSON.stringify({
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', excludes: { caps: ['CAP_SYS_ADMIN'] } }],
  });
  const security = { seccomp: { type: 'Inline', profile } } as const;
  expect(await run('busybox mkdir /x', { security })).toContain('Operation not permitted');
  expect(await run('busybox mkdir /x', { security: { ...security, addCapabilities: ['SYS_ADMIN'] } })).toBe('');
  const broken = { seccomp: { type: 'Inline', profile: '{' } } as const;
  expect(await run('true', { security: broken }).catch(codeOf)).toBe('invalid');
  const groups = { runAsUsername: 'user:extra', supplementalGroupNames: ['user', '99'] };
  expect(noNewline(await run('id', { security: groups }))).toBe(
    'uid=1000(user) gid=77(extra) groups=77(extra),99,1001(user)',
  );
  const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '7', 'kernel.domainname': 'example.test' };
  const read = 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/domainname';
  expect(await run(read, {}, { sysctls })).toBe('7\nexample.test\n');
});

test('limits of the cgroup at the creation and by update; kills for lack of memory are told', async () => {
  const resources: ExtendedResources = {
    memoryLimitBytes: 64 << 20,
    memorySwapLimitBytes: 128 << 20,
    memoryReservationBytes: 32 << 20,
    memorySwappiness: 10,
    cpuShares: 512,
    cpuQuota: 50_000,
    cpuPeriod: 100_000,
    cpusetCpus: '0',
    pidsLimit: 50,
    blockIoWeight: 300,
  };
  if (openCgroups().version === 1) {
    const files = [
      'memory/memory.limit_in_bytes',
      'memory/memory.memsw.limit_in_bytes',
      'memory/memory.soft_limit_in_bytes',
      'cpu/cpu.shares',
      'cpu/cpu.cfs_quota_us',
      'cpuset/cpuset.cpus',
      'pids/pids.max',
    ];
    const seen = await run(`cd /sys/fs/cgroup; cat ${files.join(' ')}`, { resources });
    expect(seen.trim().split('\n')).toEqual(['67108864', '134217728', '33554432', '512', '50000', '0', '50']);
  }
  const sandbox = await engine.runPodSandbox(podConfig(machine));
  const id = await engine.createContainer(
    sandbox.id,
    containerConfig(['sh', '-c', 'read go; tail /dev/zero; exec sleep 1000'], { stdin: true }),
  );
  await engine.startContainer(id);
  await engine.updateContainerResources(id, {
    ...resources,
    memoryLimitBytes: 16 << 20,
    memorySwapLimitBytes: 16 << 20,
  });
  const metrics = await engine.containerMetrics(id);
  expect(metrics.memory.limitBytes).toBe(16 << 20);
  expect(metrics.pids).toMatchObject({ limit: 50 });
  expect(metrics.cpu.totalNanoseconds).toBeGreaterThan(0n);
  expect(metrics.memory.statistics).toHaveProperty('pgfault');
  await using session = await engine.attach(id, { tty: false, stdin: true, stdout: false, stderr: false });
  session.stdin?.write('go\n');
  const [pid] = await engine.containerProcesses(id);
  while (readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== 'sleep\x001000\0')
    await new Promise((resolve) => setTimeout(resolve, 10));
  await engine.stopContainer(id, 0);
  expect(await engine.containerStatus(id)).toMatchObject({ oomKilled: true, exitCode: 137 });
});
