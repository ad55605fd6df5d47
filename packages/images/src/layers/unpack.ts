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
} from 'node:fs';
import { bytesOfName, codeOf, errnoOf, fsPath, WherryError } from '@wherry/base';
import { makeNode, setExtendedAttribute, setTimes } from '@wherry/linux';
import { namingFullDisk } from '../content/full-disk.ts';
import { writeAll } from '../content/write-all.ts';
import type { TarHeader } from '../tar/tar-entry.ts';
import { readTar, type TarBody, type TarEntry } from '../tar/tar-reader.ts';
import { type ImpliedFolder, settleImplied } from './implied-folders.ts';
import { LayerTree, setgid } from './layer-tree.ts';
import { isFolderIn, lstatOf } from './lower-entry.ts';

export interface UnpackLimits {
  /** Bytes of content. */
  readonly bytes: number;
  readonly entries: number;
}

/** Bytes of a layer's plain tar: its content, and twice as much for headers of many small files. */
export function largestTarOf({ bytes, entries }: UnpackLimits): number {
  return 2 * bytes + entries * 1024;
}

export interface Unpacked {
  /** Of files' content and links' targets, as `du --apparent-size` has them. */
  readonly bytes: number;
  readonly inodes: number;
}

const zeros = Buffer.alloc(1024 * 1024);
const whiteoutPrefix = '.wh.';

/**
 * Unpacks a layer's tar stream into `folder`, an empty folder, for use as a lower directory of
 * overlayfs, above the `lower` ones (topmost first; `undefined` while they are not there: then `settleImplied` is to be
 * called once they are). Owners, modes, times, links, device nodes and attributes are those of the archive. Throws `corrupt` for hostile or broken archives, `tooLarge` beyond the limits, `exhausted` on a
 * full disk; what was written by then is the caller's to remove. Needs root.
 */
export async function unpackLayer(
  tar: AsyncIterable<Uint8Array>,
  folder: string,
  lower: readonly string[] | undefined,
  limits: UnpackLimits,
): Promise<Unpacked & { readonly implied: readonly ImpliedFolder[] }> {
  const tree = new LayerTree(folder, lower);
  const folderTimes = new Map<string, TarHeader>();
  let bytes = 0;
  let entries = 0;
  try {
    for await (const entry of readTar(tar)) {
      bytes += entry.header.size + (entry.header.type === 'symlink' ? Buffer.byteLength(entry.header.linkName) : 0);
      entries++;
      if (entries + tree.implied > limits.entries || bytes > limits.bytes) {
        throw new WherryError('tooLarge', `a layer of more than ${limits.bytes} bytes or ${limits.entries} files`);
      }
      bytes += await placeEntry(tree, entry, folderTimes);
    }
    // At the end: each file made in a folder touches it.
    if (lower) settleImplied(folder, lower, tree.impliedFolders);
    for (const [path, header] of folderTimes) {
      if (isFolderIn(folder, path.slice(folder.length + 1))) setTimesOf(path, header);
    }
  } catch (error) {
    throw inWords(error);
  }
  return { bytes, inodes: entries, implied: lower ? [] : tree.impliedFolders };
}

function inWords(error: unknown): unknown {
  if (errnoOf(error) !== 'ENAMETOOLONG') return namingFullDisk(error);
  return new WherryError('corrupt', 'the archive has a name that is longer than the file system takes', {
    cause: error,
  });
}

/** Gives the bytes that it took beside those of the entry. */
async function placeEntry(
  tree: LayerTree,
  { header, body }: TarEntry,
  folderTimes: Map<string, TarHeader>,
): Promise<number> {
  const parts = LayerTree.parts(header.name);
  const base = parts.at(-1) ?? '';
  if (base.startsWith(whiteoutPrefix)) {
    hide(tree, parts.slice(0, -1), base);
    return 0;
  }
  const path = tree.place(parts);
  if (header.type === 'directory') {
    tree.makeFolder(path);
    lchownSync(fsPath(path), idOf(header.uid), idOf(header.gid));
    chmodSync(fsPath(path), header.mode);
    if (header.mode & setgid) tree.bequeaths = true;
    folderTimes.set(path, header);
  } else {
    if (header.type === 'file') await writeFile(tree, path, header, body);
    else {
      tree.makeRoom(path);
      if (header.type === 'link') return makeLink(tree, path, header);
      makeSpecial(path, header);
    }
  }
  if (header.xattrs.has('system.posix_acl_default')) tree.bequeaths = true;
  setAttributes(path, header);
  return 0;
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

/** Makes a file, and room for it only where there is something: there hardly ever is. */
function openNew(tree: LayerTree, path: string, mode: number): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    return openSync(fsPath(path), flags, mode);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    tree.makeRoom(path);
    return openSync(fsPath(path), flags, mode);
  }
}

const umask = process.umask();

/** Whether a file is made with the owner and the mode that it is to have: most are, and cost two calls less. */
function isMadeRight(tree: LayerTree, { uid, gid, mode }: TarHeader): boolean {
  return !tree.bequeaths && uid === 0 && gid === 0 && mode <= 0o777 && (mode & umask) === 0;
}

async function writeFile(tree: LayerTree, path: string, header: TarHeader, body: TarBody): Promise<void> {
  const isRight = isMadeRight(tree, header);
  const file = openNew(tree, path, isRight ? header.mode : 0o600);
  try {
    if (body.whole) writeWhole(file, body.whole);
    else await writePieces(file, body);
    if (!isRight) {
      // The owner first: a change of owner clears setuid.
      fchownSync(file, idOf(header.uid), idOf(header.gid));
      fchmodSync(file, header.mode);
    }
    const { seconds, nanoseconds } = timeOf(header);
    futimesSync(file, seconds, seconds);
    if (nanoseconds !== 0) setTimesOf(path, header);
  } finally {
    closeSync(file);
  }
}

function writeWhole(file: number, content: Buffer): void {
  if (isZero(content)) ftruncateSync(file, content.length);
  else writeAll(file, content, 0);
}

async function writePieces(file: number, body: AsyncIterable<Buffer>): Promise<void> {
  let at = 0;
  let endsInHole = false;
  for await (const piece of body) {
    endsInHole = isZero(piece);
    if (!endsInHole) writeAll(file, piece, at);
    at += piece.length;
  }
  if (endsInHole) ftruncateSync(file, at);
}

/** A long run of zeros, which becomes a hole: archives write out what was one. */
function isZero(piece: Buffer): boolean {
  return piece.length >= 16384 && piece[0] === 0 && piece.equals(zeros.subarray(0, piece.length));
}

/** The link's owner, mode and time are the file's, too, as dockerd and containerd have it. */
function makeLink(tree: LayerTree, path: string, header: TarHeader): number {
  const { path: target, copied } = tree.linkTarget(header.linkName);
  linkSync(fsPath(target), fsPath(path));
  settle(path, header, lstatOf(target)!.isSymbolicLink());
  return copied;
}

function makeSpecial(path: string, header: TarHeader): void {
  if (header.type === 'symlink') {
    if (header.linkName === '') throw new WherryError('corrupt', `${header.name} is a link to nothing`);
    symlinkSync(bytesOfName(header.linkName), fsPath(path));
  } else {
    const type = header.type as 'character' | 'block' | 'fifo';
    makeNode(fsPath(path), { type, mode: 0o600, major: header.major, minor: header.minor });
  }
  settle(path, header, header.type === 'symlink');
}

/** Owner, mode and time. */
function settle(path: string, header: TarHeader, isSymlink: boolean): void {
  lchownSync(fsPath(path), idOf(header.uid), idOf(header.gid));
  if (!isSymlink) chmodSync(fsPath(path), header.mode);
  setTimesOf(path, header);
}

/** `trusted.*` is overlayfs' own; an archive must not speak for it. */
const attributes = /^(?:user|security)\.|^system\.posix_acl_(?:access|default)$/;

/** Attributes that the file system does not have are left out. */
function setAttributes(path: string, header: TarHeader): void {
  for (const [name, value] of header.xattrs) {
    if (!attributes.test(name) || name.includes('\0')) continue;
    try {
      setExtendedAttribute(fsPath(path), name, value);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'unsupported' || code === 'forbidden') continue;
      throw new WherryError('corrupt', `the attribute ${name} of ${header.name} cannot be kept`, { cause: error });
    }
  }
}

function idOf(id: number): number {
  if (!Number.isInteger(id) || id < 0 || id > 0xfffffffe) throw new WherryError('corrupt', `invalid owner ${id}`);
  return id;
}

/** Times that dockerd takes: from the epoch to where 64 bits of nanoseconds end. What is beyond becomes the epoch. */
function timeOf({ mtime, mtimeNanoseconds }: TarHeader): { readonly seconds: number; readonly nanoseconds: number } {
  if (mtime < 0 || mtime >= 2 ** 63 / 1e9) return { seconds: 0, nanoseconds: 0 };
  return { seconds: Math.floor(mtime), nanoseconds: mtimeNanoseconds };
}

function setTimesOf(path: string, header: TarHeader): void {
  const { seconds, nanoseconds } = timeOf(header);
  if (nanoseconds === 0) lutimesSync(fsPath(path), seconds, seconds);
  else setTimes(fsPath(path), seconds, nanoseconds);
}
