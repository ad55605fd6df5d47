import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, open, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestMachine } from '@wherry/testkit';
import { median } from './report.ts';

/** Milliseconds that `crun run --detach` takes for a bare busybox: the least that any start of a container costs here. */
export async function measureContainerFloor(machine: TestMachine): Promise<number> {
  const bundle = join(machine.directory, 'floor');
  const bin = join(bundle, 'rootfs', 'bin');
  await mkdir(bin, { recursive: true });
  for (const folder of ['proc', 'sys', 'dev']) await mkdir(join(bundle, 'rootfs', folder));
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find(existsSync)!;
  await copyFile(busybox, join(bin, 'busybox'));
  await symlink('busybox', join(bin, 'sleep'));
  await writeFile(join(bundle, 'config.json'), JSON.stringify(spec(machine)));
  const state = join(machine.directory, 'floor-state');
  const crun = async (...args: string[]): Promise<void> => {
    const hybrid = existsSync('/sys/fs/cgroup/unified/cgroup.controllers');
    const hidden = [
      '--mount',
      '--propagation',
      'slave',
      'sh',
      '-c',
      'umount /sys/fs/cgroup/unified && exec "$@"',
      'sh',
    ];
    const command = ['crun', '--root', state, ...args];
    const [program, ...rest] = hybrid ? ['unshare', ...hidden, ...command] : command;
    await ended(program!, rest, join(machine.directory, 'floor.log'));
  };
  const times: number[] = [];
  for (let i = 0; i < 12; i++) {
    const began = performance.now();
    await crun('run', '--detach', '--bundle', bundle, `floor${i}`);
    times.push(performance.now() - began);
    await crun('delete', '--force', `floor${i}`);
  }
  return median(times.slice(2));
}

/**
 * Runs a program to its end. The container that it leaves behind keeps its standard streams: a file, not a pipe,
 * or the end would never be seen.
 */
async function ended(program: string, args: readonly string[], logPath: string): Promise<void> {
  const log = await open(logPath, 'w');
  try {
    const child = spawn(program, args, { stdio: ['ignore', log.fd, log.fd] });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${await readFile(logPath, 'utf8')}`);
  } finally {
    await log.close();
  }
}

function spec({ id }: TestMachine): object {
  return {
    ociVersion: '1.0.0',
    process: { cwd: '/', args: ['/bin/sleep', '3600'], user: { uid: 0, gid: 0 }, env: ['PATH=/bin'] },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
    ],
    linux: {
      cgroupsPath: `/wherry-floor-${id}`,
      namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })),
    },
  };
}
