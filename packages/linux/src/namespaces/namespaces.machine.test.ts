import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { mountsBelow } from '../filesystem/index.ts';
import {
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
