import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  openSync,
  symlinkSync,
  utimesSync,
  write,
  writeSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { WherryError } from '@wherry/base';
import { makeNode, setExtendedAttribute } from '@wherry/linux';
import type { TarHeader } from '../tar/tar-entry.ts';
import { readTar, type TarEntry } from '../tar/tar-reader.ts';
import { LayerTree, lstatOf } from './layer-tree.ts';

export interface UnpackLimits {
  /** Bytes of content. */
  readonly bytes: number;
  readonly entries: number;
}

export interface Unpacked {
  /** Of files' content and links' targets, as `du --apparent-size` has them. */
  readonly bytes: number;
  readonly inodes: number;
}

const writeAsync = promisify(write);
/** Files below this are written at once; larger ones leave the event loop free between pieces. */
const smallFile = 256 * 1024;
const zeros = Buffer.alloc(1024 * 1024);
const whiteoutPrefix = '.wh.';

/**
 * Unpacks a layer's tar stream into `folder`, an empty folder, for use as a lower directory of
 * overlayfs. Owners, modes, times, links, device nodes and attributes are those of the archive.
 * Throws `corrupt` for hostile or broken archives, `tooLarge` beyond the limits, `exhausted` on a
 * full disk; what was written by then is the caller's to remove. Needs root.
 */
export async function unpackLayer(
  tar: AsyncIterable<Uint8Array>,
  folder: string,
  lower: readonly string[],
  limits: UnpackLimits,
): Promise<Unpacked> {
  const tree = new LayerTree(folder, lower);
  const folderTimes = new Map<string, number>();
  let bytes = 0;
  let entries = 0;
  try {
    for await (const entry of readTar(tar)) {
      bytes += entry.header.size + (entry.header.type === 'symlink' ? Buffer.byteLength(entry.header.linkName) : 0);
      if (++entries > limits.entries || bytes > limits.bytes) {
        throw new WherryError('tooLarge', `a layer of more than ${limits.bytes} bytes or ${limits.entries} files`);
      }
      await placeEntry(tree, entry, folderTimes);
    }
  } catch (error) {
    throw (error as { code?: unknown }).code === 'ENOSPC'
      ? new WherryError('exhausted', `the disk of ${folder} is full`, { cause: error })
      : error;
  }
  // At the end: each file made in a folder touches it.
  for (const [path, time] of folderTimes) if (tree.isFolder(path)) utimesSync(path, time, time);
  return { bytes, inodes: entries };
}

async function placeEntry(
  tree: LayerTree,
  { header, body }: TarEntry,
  folderTimes: Map<string, number>,
): Promise<void> {
  const parts = LayerTree.parts(header.name);
  const base = parts.at(-1) ?? '';
  if (base.startsWith(whiteoutPrefix)) {
    hide(tree, parts.slice(0, -1), base);
    return;
  }
  const path = tree.place(parts);
  if (header.type === 'directory') {
    tree.makeFolder(path);
    lchownSync(path, idOf(header.uid), idOf(header.gid));
    chmodSync(path, header.mode);
    folderTimes.set(path, timeOf(header));
  } else {
    tree.makeRoom(path);
    if (header.type === 'file') await writeFile(path, header, body);
    else if (header.type === 'link') makeLink(tree, path, header);
    else makeSpecial(path, header);
  }
  if (header.type !== 'link') setAttributes(path, header);
}

/** Whiteouts: `.wh.name` hides a name, `.wh..wh..opq` a folder's content; AUFS' other marks mean nothing. */
function hide(tree: LayerTree, folder: readonly string[], base: string): void {
  const name = base.slice(whiteoutPrefix.length);
  if (name === '.wh..opq') {
    tree.makeOpaque(tree.folder(folder));
    return;
  }
  if (name.startsWith(whiteoutPrefix)) return;
  if (name === '' || name === '.' || name === '..') throw new WherryError('corrupt', `the whiteout ${base}`);
  tree.whiteout(tree.place([...folder, name]));
}

async function writeFile(path: string, header: TarHeader, body: AsyncIterable<Buffer>): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = openSync(path, flags, 0o600);
  try {
    let at = 0;
    for await (const piece of body) {
      for (let done = isZero(piece) ? piece.length : 0; done < piece.length; ) {
        done +=
          header.size < smallFile
            ? writeSync(file, piece, done, piece.length - done, at + done)
            : (await writeAsync(file, piece, done, piece.length - done, at + done)).bytesWritten;
      }
      at += piece.length;
    }
    ftruncateSync(file, at);
    // The owner first: a change of owner clears setuid.
    fchownSync(file, idOf(header.uid), idOf(header.gid));
    fchmodSync(file, header.mode);
    futimesSync(file, timeOf(header), timeOf(header));
  } finally {
    closeSync(file);
  }
}

/** A long run of zeros, which becomes a hole: archives write out what was one. */
function isZero(piece: Buffer): boolean {
  return piece.length >= 16384 && piece[0] === 0 && piece.equals(zeros.subarray(0, piece.length));
}

function makeLink(tree: LayerTree, path: string, header: TarHeader): void {
  const target = tree.place(LayerTree.parts(header.linkName));
  const status = lstatOf(target);
  if (status === undefined || status.isDirectory()) {
    throw new WherryError('corrupt', `${header.name} is a hard link to ${header.linkName}, which is not in the layer`);
  }
  linkSync(target, path);
}

function makeSpecial(path: string, header: TarHeader): void {
  if (header.type === 'symlink') {
    if (header.linkName === '') throw new WherryError('corrupt', `${header.name} is a link to nothing`);
    symlinkSync(header.linkName, path);
  } else {
    const type = header.type as 'character' | 'block' | 'fifo';
    makeNode(path, { type, mode: 0o600, major: header.major, minor: header.minor });
  }
  lchownSync(path, idOf(header.uid), idOf(header.gid));
  if (header.type !== 'symlink') chmodSync(path, header.mode);
  lutimesSync(path, timeOf(header), timeOf(header));
}

/** `trusted.*` is overlayfs' own; an archive must not speak for it. Attributes that do not fit are left out. */
function setAttributes(path: string, header: TarHeader): void {
  for (const [name, value] of header.xattrs) {
    if (!/^(?:user|security)\./.test(name) || name.includes('\0')) continue;
    try {
      setExtendedAttribute(path, name, value);
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code !== 'unsupported' && code !== 'forbidden') throw error;
    }
  }
}

function idOf(id: number): number {
  if (!Number.isInteger(id) || id < 0 || id > 0xfffffffe) throw new WherryError('corrupt', `invalid owner ${id}`);
  return id;
}

/** Times that the kernel takes; what is beyond becomes the epoch. */
function timeOf({ mtime }: TarHeader): number {
  return Math.abs(mtime) < 2 ** 33 ? mtime : 0;
}
