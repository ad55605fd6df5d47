import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { mountsBelow } from '../filesystem/index.ts';
import {
  closeQuietly,
  findProgram,
  openPipe,
  runProgram,
  spawnProgram,
  streamOfDescriptor,
} from '../processes/index.ts';
import {
  insideMountNamespace,
  insideNamespaces,
  insideNetworkNamespace,
  pinNewNamespaces,
  removePinnedNamespace,
  warmThreadPool,
} from './index.ts';

let directory: string;
beforeEach(async () => {
  await warmThreadPool();
  directory = mkdtempSync(join(tmpdir(), 'wherry-ns-'));
});
afterEach(() => {
  for (const name of readdirSync(directory)) removePinnedNamespace(join(directory, name));
  expect(mountsBelow(directory)).toEqual([]);
  rmSync(directory, { recursive: true });
});
const current = (kind: string): string => readlinkSync(`/proc/thread-self/ns/${kind}`);

test('namespaces outlive their maker, are entered and left', () => {
  const home = { net: current('net'), ipc: current('ipc'), uts: current('uts') };
  const name = hostname();
  const paths = pinNewNamespaces({ directory, kinds: ['net', 'ipc', 'uts'], hostname: 'pinned' });
  expect({ net: current('net'), ipc: current('ipc'), uts: current('uts') }).toEqual(home);
  expect(hostname()).toBe(name);
  insideNamespaces(paths, () => {
    expect(hostname()).toBe('pinned');
    expect(current('net')).not.toBe(home.net);
    expect(readFileSync('/proc/thread-self/net/dev', 'utf8')).toMatch(/^ *lo:/m);
    expect(
      readFileSync('/proc/thread-self/net/dev', 'utf8')
        .split('\n')
        .filter((line) => line.includes(':')),
    ).toHaveLength(1);
  });
  expect(() =>
    insideNetworkNamespace(paths.net as string, () => {
      throw new Error('inside');
    }),
  ).toThrow('inside');
  expect(current('net')).toBe(home.net);
});

test('sysctls written inside stay inside; a failing set-up leaves nothing', () => {
  const sysctl = '/proc/sys/net/ipv4/ip_unprivileged_port_start';
  const before = readFileSync(sysctl, 'utf8');
  const paths = pinNewNamespaces({ directory, kinds: ['net'], setUp: () => writeFileSync(sysctl, '81') });
  expect(insideNetworkNamespace(paths.net as string, () => readFileSync(sysctl, 'utf8').trim())).toBe('81');
  expect(readFileSync(sysctl, 'utf8')).toBe(before);
  removePinnedNamespace(paths.net as string);
  expect(() =>
    pinNewNamespaces({
      directory,
      kinds: ['net', 'ipc'],
      setUp: () => {
        throw new Error('no');
      },
    }),
  ).toThrow('no');
  expect(existsSync(join(directory, 'net'))).toBe(false);
  expect(existsSync(join(directory, 'ipc'))).toBe(false);
});

test('a program starts in another mount namespace; this thread keeps its own, its root and its folder', async () => {
  const marker = join(directory, 'marker');
  writeFileSync(marker, 'outside');
  const ready = openPipe();
  const sleeper = spawnProgram({
    path: findProgram('unshare'),
    args: [
      '--mount',
      findProgram('sh'),
      '-c',
      'mount -t tmpfs inside "$0" && echo inside > "$0/marker" && echo ready && exec sleep 60',
      directory,
    ],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    descriptors: { 1: ready.write },
  });
  closeQuietly(ready.write);
  const said = streamOfDescriptor(ready.read, { writable: false });
  try {
    expect(String((await once(said, 'data'))[0])).toBe('ready\n');
    const home = { mnt: current('mnt'), folder: process.cwd() };
    const mountNamespace = `/proc/${sleeper.pid}/ns/mnt`;
    const read = await runProgram({ path: findProgram('cat'), args: [marker], mountNamespace });
    expect(read.stdout.toString()).toBe('inside\n');
    expect(insideMountNamespace(mountNamespace, () => readFileSync(marker, 'utf8'))).toBe('inside\n');
    expect(() =>
      insideMountNamespace(mountNamespace, () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect({ mnt: current('mnt'), folder: readlinkSync('/proc/thread-self/cwd') }).toEqual(home);
    expect(readFileSync(marker, 'utf8')).toBe('outside');
  } finally {
    said.destroy();
    sleeper.kill('SIGKILL');
    await sleeper.exited;
  }
  rmSync(marker);
});
