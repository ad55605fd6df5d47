import { existsSync } from 'node:fs';
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram, type TestMachine } from '@wherry/testkit';
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
    const ran = hybrid
      ? await runProgram('unshare', [...hidden, ...command])
      : await runProgram('crun', command.slice(1));
    if (ran.code !== 0) throw new Error(`crun ${args.join(' ')}: ${ran.stderr}`);
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
      cgroupsPath: `/wherry-floor-${id}/c`,
      namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })),
    },
  };
}
