import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { bytesOfName, fsPath, WherryError } from '@wherry/base';
import { makeNode, nextData, setExtendedAttribute } from '@wherry/linux';
import type { Digest } from '@wherry/oci';
import type { UserMappings } from '@wherry/runtime';
import { namingFullDisk } from '../content/full-disk.ts';
import { writeAll } from '../content/write-all.ts';
import { blockSize } from '../tar/tar-entry.ts';
import { tarHeader } from '../tar/tar-writer.ts';
import { type Change, walkChanges } from './change-walk.ts';
import { TarFile } from './tar-file.ts';
import type { UnpackLimits } from './unpack.ts';

export interface PackRequest {
  readonly upper: string;
  /** The plain tar to make; it must not be there. */
  readonly tar: string;
  /** An empty folder that becomes a copy; `undefined`: none is made. */
  readonly copy: string | undefined;
  /** Seconds, to which later times are clamped. */
  readonly latest: number | undefined;
  /** Clamps the times of the folder itself: it becomes the layer. */
  readonly settle: boolean;
  readonly limits: UnpackLimits;
  /** Whose numbers of owners go into the layer; default: the machine's. */
  readonly users?: UserMappings | undefined;
}

export interface Packed {
  readonly digest: Digest;
  readonly size: number;
  /** Of files' content. */
  readonly bytes: number;
  readonly inodes: number;
}

const piece = Buffer.allocUnsafe(512 * 1024);

/**
 * Writes the layer that an overlay's upper folder is as a tar, the same one for the same content, and
 * copies it as it goes, so that both are of the same moment. Blocks: for worker threads. Needs root.
 */
export function packChanges(request: PackRequest, throwIfCancelled: () => void): Packed {
  const { limits, latest = Number.POSITIVE_INFINITY } = request;
  const copy = request.copy === undefined ? undefined : new LayerCopy(request.copy);
  using tar = new TarFile(request.tar);
  let bytes = 0;
  let inodes = 0;
  try {
    for (const change of walkChanges(request.upper, latest, request.users)) {
      throwIfCancelled();
      const file = change.open?.();
      if (change.open && file === undefined) continue;
      try {
        const size = file === undefined ? 0 : fstatSync(file).size;
        bytes += change.entry.type === 'symlink' ? change.status.size : size;
        if (++inodes > limits.entries || bytes > limits.bytes) {
          throw new WherryError('tooLarge', `a layer of more than ${limits.bytes} bytes or ${limits.entries} files`);
        }
        tar.write(tarHeader(change.entry, size));
        const target = copy?.begin(change);
        if (file !== undefined) packFile(file, size, tar, target, throwIfCancelled);
        copy?.end(change, target);
      } finally {
        if (file !== undefined) closeSync(file);
      }
      if (change.isOpaque) {
        tar.write(tarHeader({ name: `${change.entry.name}/.wh..wh..opq`, type: 'file', mode: 0, mtime: 0 }, 0));
      }
    }
    copy?.finish();
    if (request.settle && request.latest !== undefined) clampTimes(request.upper, request.latest);
    tar.writeZeros(2 * blockSize);
    return { ...tar.end(), bytes, inodes };
  } catch (error) {
    throw namingFullDisk(error);
  }
}

/** Exactly `size` bytes: a file that shrinks meanwhile is filled up with zeros, as its header says how long it is. */
function packFile(
  file: number,
  size: number,
  tar: TarFile,
  target: number | undefined,
  throwIfCancelled: () => void,
): void {
  let at = 0;
  while (at < size) {
    const data = nextData(file, at);
    const start = Math.min(data?.start ?? size, size);
    tar.writeZeros(start - at);
    at = start;
    const end = Math.min(data?.end ?? size, size);
    while (at < end) {
      throwIfCancelled();
      const count = readSync(file, piece, 0, Math.min(piece.length, end - at), at);
      if (count === 0) break;
      const read = piece.subarray(0, count);
      tar.write(read);
      if (target !== undefined) writeAll(target, read, at);
      at += count;
    }
    if (at < end) {
      tar.writeZeros(size - at);
      at = size;
    }
  }
  if (target !== undefined) ftruncateSync(target, size);
  tar.writeZeros((blockSize - (size % blockSize)) % blockSize);
}

/** A copy of the layer as overlayfs keeps it, made entry by entry. Nobody else writes to the folder. */
class LayerCopy {
  readonly #root: string;
  readonly #folders: Change[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  /** Makes the entry; of a file, gives the descriptor that takes its content. */
  begin({ entry, isWhiteout, status }: Change): number | undefined {
    const path = this.#path(entry.name);
    if (isWhiteout) {
      const name = entry.name.replace(/\.wh\.([^/]*)$/, '$1');
      makeNode(this.#path(name), { type: 'character', mode: status.mode & 0o7777 });
    } else if (entry.type === 'file') return openSync(path, 'wx', 0o600);
    else if (entry.type === 'directory') mkdirSync(path, 0o700);
    else if (entry.type === 'link') linkSync(this.#path(entry.linkName!), path);
    else if (entry.type === 'symlink') symlinkSync(bytesOfName(entry.linkName!), path);
    else makeNode(path, { type: entry.type, mode: 0o600, major: entry.major ?? 0, minor: entry.minor ?? 0 });
    return undefined;
  }

  end(change: Change, file: number | undefined): void {
    const { entry, isWhiteout, isOpaque } = change;
    if (isWhiteout || entry.type === 'link') return;
    const path = this.#path(entry.name);
    const [uid, gid, mtime] = [entry.uid ?? 0, entry.gid ?? 0, entry.mtime ?? 0];
    if (file !== undefined) {
      try {
        // The owner first: a change of owner clears setuid and capabilities.
        fchownSync(file, uid, gid);
        fchmodSync(file, entry.mode);
        futimesSync(file, mtime, mtime);
      } finally {
        closeSync(file);
      }
    } else {
      lchownSync(path, uid, gid);
      if (entry.type !== 'symlink') chmodSync(path, entry.mode);
      if (entry.type === 'directory') this.#folders.push(change);
      else lutimesSync(path, mtime, mtime);
    }
    for (const [name, value] of entry.xattrs ?? []) setExtendedAttribute(path, name, value);
    if (isOpaque) setExtendedAttribute(path, 'trusted.overlay.opaque', Buffer.from('y'));
  }

  /** At the end: each file made in a folder touches it. */
  finish(): void {
    for (const { entry } of this.#folders.reverse()) {
      utimesSync(this.#path(entry.name), entry.mtime ?? 0, entry.mtime ?? 0);
    }
  }

  #path(name: string): string | Buffer {
    return fsPath(join(this.#root, name));
  }
}

function clampTimes(upper: string, latest: number): void {
  for (const { entry, status, isWhiteout } of walkChanges(upper, latest)) {
    if (!isWhiteout && status.mtimeMs > latest * 1000) lutimesSync(fsPath(join(upper, entry.name)), latest, latest);
  }
}
