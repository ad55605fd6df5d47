import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@wherry/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  bindMount,
  isMountPoint,
  isMountRoot,
  listMounts,
  makeNode,
  mountOverlay,
  mountsBelow,
  mountTmpfs,
  openBeneath,
  readFileBeneath,
  setPropagation,
  spreadSubfolders,
  syncFileSystem,
  unmount,
  unmountAll,
  unmountBind,
} from './index.ts';

let folder: string;
const caught = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return codeOf(error);
  }
  return undefined;
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-fs-'));
});
afterEach(() => {
  for (const entry of mountsBelow(folder)) unmountAll(entry.mountPoint);
  expect(mountsBelow(folder)).toEqual([]);
  rmSync(folder, { recursive: true });
});
const make = (name: string): string => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return path;
};

describe('mounts', () => {
  test('a tmpfs of a size, its entry in the table, and its end', () => {
    const target = make('with space');
    mountTmpfs(target, { sizeBytes: 65536, mode: 0o700 });
    expect(isMountPoint(target)).toBe(true);
    const entry = listMounts().find((mount) => mount.mountPoint === target);
    expect(entry).toMatchObject({ type: 'tmpfs', root: '/' });
    expect(entry?.superOptions).toContain('size=64k');
    expect(unmount(target)).toBe(true);
    expect(unmount(target)).toBe(false);
  });

  test('the root of a mount is known by its file', () => {
    const [source, target] = [make('source/inner'), make('target')];
    expect([target, join(folder, 'nosuch')].map(isMountRoot)).toEqual([false, false]);
    bindMount(join(folder, 'source'), target);
    symlinkSync(target, join(folder, 'link'));
    expect(isMountRoot(target)).toBe(true);
    expect([source, join(target, 'inner'), join(folder, 'link'), folder].map(isMountRoot)).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect(unmount(target)).toBe(true);
    expect(isMountRoot(target)).toBe(false);
  });

  test('a read-only bind refuses writes while its source takes them', () => {
    const source = make('source');
    const target = make('target');
    bindMount(source, target, { readOnly: true });
    expect(() => writeFileSync(join(target, 'x'), '')).toThrow(/EROFS/);
    writeFileSync(join(source, 'x'), 'seen');
    expect(readFileSync(join(target, 'x'), 'utf8')).toBe('seen');
  });

  test('propagation shows in the table', () => {
    const target = make('self');
    bindMount(target, target);
    setPropagation(target, 'shared');
    expect(listMounts().find((mount) => mount.mountPoint === target)?.propagation[0]).toMatch(/^shared:/);
    setPropagation(target, 'private');
    expect(listMounts().find((mount) => mount.mountPoint === target)?.propagation).toEqual([]);
  });

  test('a missing source is notFound, a busy mount is conflict and can be detached', () => {
    expect(caught(() => bindMount(join(folder, 'none'), make('t')))).toBe('notFound');
    const target = make('busy');
    mountTmpfs(target);
    const descriptor = openBeneath(target, '.');
    expect(caught(() => unmount(target))).toBe('conflict');
    expect(unmountAll(target)).toBe(1);
    closeSync(descriptor);
  });

  test('overlays: few layers, many long ones, and paths with separators', () => {
    for (const [count, name] of [
      [2, 'few'],
      [128, 'a-long-name-so-that-the-page-of-options-overflows'.repeat(3)],
      [3, 'with:colon,comma\\and backslash'],
    ] as const) {
      const lowerDirectories = Array.from({ length: count }, (_, index) => {
        const path = make(`${name}/${index}`);
        writeFileSync(join(path, `file${index}`), String(index));
        writeFileSync(join(path, 'same'), String(index));
        return path;
      });
      const target = make(`merged${count}`);
      mountOverlay({
        lowerDirectories,
        upperDirectory: make(`${name}/upper`),
        workDirectory: make(`${name}/work`),
        target,
      });
      expect(readFileSync(join(target, 'same'), 'utf8')).toBe('0');
      expect(readFileSync(join(target, `file${count - 1}`), 'utf8')).toBe(String(count - 1));
      writeFileSync(join(target, 'new'), '');
      expect(existsSync(join(folder, name, 'upper', 'new'))).toBe(true);
    }
  });
});

describe('paths beneath a root', () => {
  test('absolute links and dots stay inside; magic links and FIFOs do not hang or escape', () => {
    const root = make('root');
    mkdirSync(join(root, 'etc'));
    symlinkSync('/etc/hostname', join(root, 'link'));
    symlinkSync('../../../../etc/passwd', join(root, 'dots'));
    expect(readFileBeneath(root, 'link', 1000)).toBeUndefined();
    expect(readFileBeneath(root, 'dots', 1000)).toBeUndefined();
    writeFileSync(join(root, 'etc/passwd'), 'ours');
    expect(readFileBeneath(root, '/dots', 1000)?.toString()).toBe('ours');
    expect(caught(() => readFileBeneath(root, 'dots', 3))).toBe('tooLarge');
    expect(caught(() => openBeneath(root, 'dots', { escape: 'refuse' }))).toBeDefined();
    // Neither waits for the other end of a FIFO nor opens a device.
    makeNode(join(root, 'fifo'), { type: 'fifo', mode: 0o600 });
    makeNode(join(root, 'device'), { type: 'character', mode: 0o600, major: 1, minor: 5 });
    for (const name of ['fifo', 'device', 'etc']) {
      expect(caught(() => readFileBeneath(root, name, 1000))).toBe('invalid');
    }
  });

  test('renames elsewhere do not keep dots from being followed', async () => {
    const root = make('root/etc');
    symlinkSync(`${'../etc/'.repeat(30)}file`, join(root, 'link'));
    writeFileSync(join(root, 'file'), 'ours');
    const elsewhere = make('elsewhere/a');
    const program = "const { renameSync: rename } = require('fs'); console.log('going'); for (;;) { rename(process.argv[1], process.argv[1] + 'b'); rename(process.argv[1] + 'b', process.argv[1]); }"; // biome-ignore format: a program
    const renaming = spawn(process.execPath, ['-e', program, elsewhere], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(renaming.stdout, 'data');
      for (let count = 0; count < 2000; count++)
        expect(readFileBeneath(join(folder, 'root'), 'etc/link', 1000)?.toString()).toBe('ours');
    } finally {
      renaming.kill('SIGKILL');
      await once(renaming, 'close');
    }
  });
});

test('the end of a bind leaves what is mounted where it came from', () => {
  const [source, copy] = [join(folder, 'source'), join(folder, 'copy')];
  const inner = join(source, 'inner');
  mkdirSync(inner, { recursive: true });
  mkdirSync(copy);
  bindMount(source, source);
  setPropagation(source, 'shared');
  mountTmpfs(inner);
  for (let stacked = 0; stacked < 2; stacked++) bindMount(source, copy, { recursive: true });
  expect(isMountPoint(join(copy, 'inner'))).toBe(true);
  unmountBind(copy);
  expect(mountsBelow(copy)).toEqual([]);
  expect(isMountPoint(inner)).toBe(true);
  unmountBind(copy);
  unmountBind(join(folder, 'nowhere'));
  unmountAll(inner);
  unmountAll(source);
});

test('syncs the file system of a folder, and says when there is none', async () => {
  await expect(syncFileSystem('/tmp')).resolves.toBeUndefined();
  await expect(syncFileSystem('/nowhere/at/all')).rejects.toThrow('ENOENT');
});

test('says of a folder that what is in it is unrelated, where the file system takes that', () => {
  const [target, memory] = [make('spread'), make('memory')];
  const type = execFileSync('stat', ['-f', '-c', '%T', target], { encoding: 'utf8' }).trim();
  expect(spreadSubfolders(target)).toBe(type === 'ext2/ext3');
  const flags = execFileSync('lsattr', ['-d', target], { encoding: 'utf8' }).split(' ')[0];
  expect(flags?.includes('T')).toBe(type === 'ext2/ext3');
  mountTmpfs(memory);
  expect(spreadSubfolders(memory)).toBe(false);
});
