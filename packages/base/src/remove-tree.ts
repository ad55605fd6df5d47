import { lstatSync, rmdirSync, unlinkSync } from 'node:fs';
import { lstat, rmdir, unlink } from 'node:fs/promises';
import { Breather } from './breather.ts';
import { errnoOf } from './errors.ts';
import { entriesOf, fsPath, textOfName } from './file-names.ts';
import type { RemovalTasks } from './remove-tree-work.ts';
import { TaskThreads } from './task-threads.ts';

/** Files that are removed sooner than a thread begins. */
const fewFiles = 300;
/** Files that are removed at the same time. */
const atOnce = 8;
/** Files, none larger than this (bytes), that are removed sooner than a thread of the pool begins. */
const leastFiles = 32;
const smallFile = 256 * 1024;
/** Milliseconds after which a busy disk is waited for elsewhere. */
const moment = 2;
const slash = Buffer.from('/');

/** They end by themselves where there is nothing to remove, and keep no process from ending. */
const threads = new TaskThreads<RemovalTasks>({ package: 'base', name: 'remove-trees' });

/**
 * Removes a file or a folder with all that is in it, if it is there; links are not followed. Whoever must not see half of
 * it renames it before. Many files are removed on a thread: each would keep the event loop for a moment. Throws what the
 * kernel says (`EBUSY`: something is mounted in it), as `internal` from a thread.
 */
export async function removeTree(path: string): Promise<void> {
  const whole = Buffer.from(fsPath(path));
  const isFolder = lstatSync(whole, { throwIfNoEntry: false })?.isDirectory();
  if (!isFolder && (await tryUnlink(whole))) return;
  const tree = await few(whole);
  if (tree === undefined) {
    await threads.run('remove', { path });
    return;
  }
  if (isLittle(tree) && isRemovedNow(tree)) return;
  for (let at = 0; at < tree.files.length; at += atOnce) {
    const removed = await Promise.allSettled(tree.files.slice(at, at + atOnce).map(removeFile));
    for (const result of removed) if (result.status === 'rejected') throw result.reason;
  }
  for (const folder of [...tree.folders].reverse()) {
    await rmdir(folder).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
  }
}

interface FewFiles {
  readonly files: readonly Buffer[];
  /** Each before those in it. */
  readonly folders: readonly Buffer[];
}

/** What is in a folder, with itself. `undefined`: it is much, or so deep that its paths are too long for the kernel. */
async function few(root: Buffer): Promise<FewFiles | undefined> {
  const files: Buffer[] = [];
  const folders = [root];
  const breather = new Breather();
  for (let at = 0; at < folders.length; at++) {
    const folder = folders[at]!;
    try {
      for (const { name, isFolder } of entriesOf(folder, fewFiles + 1)) {
        (isFolder ? folders : files).push(Buffer.concat([folder, slash, name]));
      }
    } catch (error) {
      const code = errnoOf(error);
      if (code === 'ENAMETOOLONG') return undefined;
      if (code !== 'ENOENT') throw error;
    }
    if (files.length + folders.length > fewFiles) return undefined;
    await breather.rest();
  }
  return { files, folders };
}

function isLittle({ files, folders }: FewFiles): boolean {
  if (files.length + folders.length > leastFiles) return false;
  return files.every((file) => (lstatSync(file, { throwIfNoEntry: false })?.size ?? 0) <= smallFile);
}

/** False: some of it could not be removed, or not in a moment. */
function isRemovedNow({ files, folders }: FewFiles): boolean {
  const end = performance.now() + moment;
  try {
    for (const file of files) {
      unlinkSync(file);
      if (performance.now() > end) return false;
    }
    for (const folder of [...folders].reverse()) {
      if (performance.now() > end) return false;
      rmdirSync(folder);
    }
    return true;
  } catch {
    return false;
  }
}

async function removeFile(path: Buffer): Promise<void> {
  // It was a file a moment ago.
  if (!(await tryUnlink(path))) await removeTree(textOfName(path));
}

/** False: it is a folder. */
async function tryUnlink(path: Buffer): Promise<boolean> {
  try {
    await unlink(path);
  } catch (error) {
    const code = errnoOf(error);
    // Linux says EISDIR, POSIX EPERM (unlink(2)).
    if (code === 'EISDIR' || (code === 'EPERM' && (await lstat(path)).isDirectory())) return false;
    if (code !== 'ENOENT') throw error;
  }
  return true;
}
