import { createWriteStream } from 'node:fs';
import { chmod, link, lstat, lutimes, mkdir, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errnoOf, throwIfAborted, WherryError } from '@wherry/base';
import { readTar, type TarEntry, type TarHeader } from '@wherry/images';
import { makeNode } from '@wherry/linux';

export interface ContextLimits {
  /** Bytes of content. */
  readonly bytes: number;
  readonly entries: number;
}

/** No build needs more. */
export const contextLimits: ContextLimits = { bytes: 32 * 2 ** 30, entries: 1_000_000 };

/**
 * Unpacks a build context into an empty folder that is ours alone. All files are root's, as dockerd makes them; links
 * stay as they are and are never followed. Throws `invalid` for an archive that leads out of the folder or has device
 * nodes, `corrupt`, `tooLarge`, `exhausted`.
 */
export async function unpackContext(
  tar: AsyncIterable<Uint8Array>,
  folder: string,
  { limits = contextLimits, signal }: { readonly limits?: ContextLimits; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const folderTimes = new Map<string, number>();
  let bytes = 0;
  let entries = 0;
  try {
    for await (const entry of readTar(tar)) {
      throwIfAborted(signal);
      bytes += entry.header.size;
      if (++entries > limits.entries || bytes > limits.bytes) {
        throw new WherryError(
          'tooLarge',
          `a build context of more than ${limits.bytes} bytes or ${limits.entries} files`,
        );
      }
      await place(folder, entry, folderTimes);
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOSPC') throw new WherryError('exhausted', 'no space left on device', { cause: error });
    throw error;
  }
  for (const [path, time] of folderTimes) await utimes(path, time, time);
}

async function place(root: string, { header, body }: TarEntry, folderTimes: Map<string, number>): Promise<void> {
  const parts = partsOf(header.name);
  if (parts.length === 0) return;
  const path = join(root, ...parts);
  await makeParents(root, parts, header.name);
  const there = await lstat(path).catch(() => undefined);
  if (header.type === 'directory') {
    if (there && !there.isDirectory()) await rm(path, { force: true });
    await mkdir(path, { recursive: true });
    await chmod(path, header.mode & 0o7777);
    folderTimes.set(path, timeOf(header));
    return;
  }
  if (there) await rm(path, { recursive: true, force: true });
  folderTimes.delete(path);
  switch (header.type) {
    case 'file':
      await pipeline(Readable.from(body), createWriteStream(path, { flags: 'wx', mode: 0o600 }));
      await chmod(path, header.mode & 0o7777);
      await utimes(path, timeOf(header), timeOf(header));
      return;
    case 'symlink':
      await symlink(header.linkName, path);
      await lutimes(path, timeOf(header), timeOf(header));
      return;
    case 'link':
      await makeLink(root, path, header);
      return;
    case 'fifo':
      makeNode(path, { type: 'fifo', mode: header.mode & 0o7777, major: 0, minor: 0 });
      await chmod(path, header.mode & 0o7777);
      return;
    default:
      throw new WherryError('invalid', `${header.name}: build contexts with device nodes are not supported`);
  }
}

async function makeLink(root: string, path: string, { name, linkName }: TarHeader): Promise<void> {
  const target = partsOf(linkName);
  await makeParents(root, target, linkName);
  try {
    await link(join(root, ...target), path);
  } catch (error) {
    throw new WherryError('invalid', `${name} is a hard link to ${linkName}, which is not in the build context`, {
      cause: error,
    });
  }
}

/** Every folder above, which are folders of ours and no links: nothing is ever written through one. */
async function makeParents(root: string, parts: readonly string[], name: string): Promise<void> {
  const parent = dirname(join(root, ...parts));
  if (parent === root) return;
  let path = root;
  for (const part of parts.slice(0, -1)) {
    path = join(path, part);
    const there = await lstat(path).catch(() => undefined);
    if (there === undefined) await mkdir(path, { mode: 0o755 });
    else if (!there.isDirectory()) {
      throw new WherryError('invalid', `${name}: ${part} is no folder of the build context`);
    }
  }
}

/** Throws `invalid` for what leads out of the context. */
function partsOf(name: string): readonly string[] {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || name.includes('\0')) {
    throw new WherryError('invalid', `${JSON.stringify(name)} leads out of the build context`);
  }
  return parts;
}

function timeOf({ mtime }: TarHeader): number {
  return Number(mtime);
}
