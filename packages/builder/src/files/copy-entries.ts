import {
  chmodSync,
  closeSync,
  constants,
  copyFile as copyFileCallback,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Breather, bytesOfName, fsPath, WherryError } from '@wherry/base';
import {
  getExtendedAttribute,
  listExtendedAttributes,
  makeNode,
  numbersOfDevice,
  setExtendedAttribute,
} from '@wherry/linux';
import { openEntry } from './content-digest.ts';
import type { Destination, Owner } from './destination.ts';
import type { ChangeMode } from './file-mode.ts';
import type { SourceEntry, SourceTree } from './source-tree.ts';

const copyContent = promisify(copyFileCallback);
/** Files below this are written at once; larger ones by a thread of Node's pool. */
const smallFile = 64 * 1024;

export interface CopyOptions {
  /** Default: as in the source. */
  readonly owner?: Owner | undefined;
  readonly mode?: ChangeMode | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Copies entries of a tree, each with its path below the folder `hostFolder`; folders come before what is in them. Names
 * of one file stay names of one file.
 */
export async function copyEntries(
  tree: SourceTree,
  entries: readonly (readonly [SourceEntry, string])[],
  destination: Destination,
  hostFolder: string,
  options: CopyOptions,
): Promise<void> {
  const breather = new Breather(options.signal);
  const folders: (readonly [string, SourceEntry])[] = [];
  const copied = new Map<string, string>();
  for (const [entry, path] of entries) {
    const target = join(hostFolder, path);
    const isNew = destination.makeRoom(target, entry.type === 'directory');
    if (entry.type === 'directory') {
      if (isNew) mkdirSync(fsPath(target));
      folders.push([target, entry]);
    } else {
      const other = entry.inode === undefined ? undefined : copied.get(entry.inode);
      if (other !== undefined) linkSync(fsPath(other), fsPath(target));
      else await copyEntry(tree, entry, target, options);
      if (entry.inode !== undefined) copied.set(entry.inode, target);
    }
    await breather.rest();
  }
  // Deepest first, and at the end: each file made in a folder touches it.
  for (const [target, entry] of folders.reverse()) {
    setFacts(target, entry, options);
    copyAttributes(join(tree.root, entry.path), target);
    utimesSync(fsPath(target), entry.mtime / 1000, entry.mtime / 1000);
    await breather.rest();
  }
}

/** Copies one entry that is no folder to a host path where nothing is. */
export async function copyEntry(
  tree: SourceTree,
  entry: SourceEntry,
  target: string,
  options: CopyOptions,
): Promise<void> {
  const time = entry.mtime / 1000;
  const { uid, gid } = options.owner ?? entry;
  if (entry.type === 'file') {
    await copyFile(tree, entry, target, options);
  } else if (entry.type === 'symlink') {
    symlinkSync(bytesOfName(entry.linkName), fsPath(target));
    lchownSync(fsPath(target), uid, gid);
    lutimesSync(fsPath(target), time, time);
  } else if (entry.type !== 'directory') {
    const type = entry.type;
    makeNode(fsPath(target), { type, mode: 0o600, ...numbersOfDevice(entry.device) });
    setFacts(target, entry, options);
    utimesSync(fsPath(target), time, time);
  }
}

async function copyFile(tree: SourceTree, entry: SourceEntry, target: string, options: CopyOptions): Promise<void> {
  const source = openEntry(tree, entry.path);
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    if (entry.size > smallFile) await copyContent(`/proc/self/fd/${source}`, fsPath(target), constants.COPYFILE_EXCL);
    const file = openSync(fsPath(target), entry.size > smallFile ? constants.O_WRONLY : flags, 0o600);
    try {
      if (entry.size <= smallFile) copySmall(source, file, entry.size);
      const { uid, gid } = options.owner ?? entry;
      // The owner first: a change of owner clears setuid.
      fchownSync(file, uid, gid);
      fchmodSync(file, modeOf(entry, options));
      futimesSync(file, entry.mtime / 1000, entry.mtime / 1000);
    } finally {
      closeSync(file);
    }
    copyAttributes(join(tree.root, entry.path), target);
  } finally {
    closeSync(source);
  }
}

const buffer = Buffer.allocUnsafeSlow(smallFile + 1);

function copySmall(source: number, target: number, size: number): void {
  let length = 0;
  for (;;) {
    const count = readSync(source, buffer, length, buffer.length - length, null);
    if (count === 0) break;
    length += count;
    if (length > smallFile) throw new WherryError('conflict', 'a file grew while it was copied');
  }
  if (length !== size) throw new WherryError('conflict', 'a file changed while it was copied');
  for (let done = 0; done < length; ) done += writeSync(target, buffer, done, length - done);
}

function setFacts(target: string, entry: SourceEntry, options: CopyOptions): void {
  const { uid, gid } = options.owner ?? entry;
  lchownSync(fsPath(target), uid, gid);
  chmodSync(fsPath(target), modeOf(entry, options));
}

function modeOf(entry: SourceEntry, { mode }: CopyOptions): number {
  return mode ? mode(entry.mode, entry.type === 'directory') : entry.mode;
}

/** Capabilities of files and what users set; `trusted.overlay.*` is of the layers alone. */
function copyAttributes(source: string, target: string): void {
  for (const name of listExtendedAttributes(fsPath(source))) {
    if (!/^(?:user\.|security\.capability$)/.test(name)) continue;
    const value = getExtendedAttribute(fsPath(source), name);
    if (value) setExtendedAttribute(fsPath(target), name, value);
  }
}
