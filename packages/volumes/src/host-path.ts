import type { Stats } from 'node:fs';
import { lstat, mkdir, open, stat } from 'node:fs/promises';
import type { V1HostPathVolumeSource } from '@wherry/api';
import { errnoOf, WherryError } from '@wherry/base';

const checks: Record<string, (stats: Stats) => boolean> = {
  Directory: (stats) => stats.isDirectory(),
  File: (stats) => stats.isFile(),
  Socket: (stats) => stats.isSocket(),
  CharDevice: (stats) => stats.isCharacterDevice(),
  BlockDevice: (stats) => stats.isBlockDevice(),
};

const words: Record<string, string> = {
  Directory: 'a directory',
  File: 'a file',
  Socket: 'a socket file',
  CharDevice: 'a character device',
  BlockDevice: 'a block device',
};

/** Checks (and for the `…OrCreate` types makes) the host's path. Gives it back. Throws `invalid` in upstream's words (`hostPath type check failed: …`). */
export async function prepareHostPath({ path, type }: V1HostPathVolumeSource): Promise<string> {
  if (!path.startsWith('/')) throw new WherryError('invalid', `hostPath ${path} is not an absolute path`);
  if (path.split('/').includes('..')) throw new WherryError('invalid', `hostPath ${path} must not contain '..'`);
  const kind = type ?? '';
  if (kind === '') {
    // Untyped and absent: upstream's runtimes make a folder, so that the bind mount finds something.
    if ((await statOf(path)) === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
    return path;
  }
  if (kind === 'DirectoryOrCreate') await createUnlessThere(path, 'Directory');
  else if (kind === 'FileOrCreate') await createUnlessThere(path, 'File');
  else await check(path, kind);
  return path;
}

async function createUnlessThere(path: string, kind: 'Directory' | 'File'): Promise<void> {
  if ((await statOf(path)) === undefined) {
    if (kind === 'Directory') await mkdir(path, { recursive: true, mode: 0o755 });
    else await (await open(path, 'a', 0o644)).close();
  }
  await check(path, kind);
}

async function check(path: string, kind: string): Promise<void> {
  const test = checks[kind];
  if (test === undefined) throw new WherryError('invalid', `${kind} is an invalid hostPath type`);
  const stats = await statOf(path);
  if (stats === undefined || !test(stats))
    throw new WherryError('invalid', `hostPath type check failed: ${path} is not ${words[kind]}`);
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') throw error;
  }
  // A dangling link is there, yet nothing that can be mounted.
  try {
    await lstat(path);
  } catch {
    return undefined;
  }
  throw new WherryError('invalid', `hostPath type check failed: ${path} is a symbolic link to nothing`);
}
