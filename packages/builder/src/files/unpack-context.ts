import {
  chmodSync,
  closeSync,
  createWriteStream,
  fchmodSync,
  futimesSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  type Stats,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Breather, bytesOfName, errnoOf, fsPath, throwIfAborted, WherryError } from '@wherry/base';
import { readTar, type TarBody, type TarEntry, type TarHeader } from '@wherry/images';
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
  const writer = new ContextWriter(folder);
  const breather = new Breather(signal);
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
      await writer.place(entry);
      await breather.rest();
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOSPC') throw new WherryError('exhausted', 'no space left on device', { cause: error });
    throw error;
  }
  writer.finish();
}

/** Files below this are written at once: that takes less than to ask a thread. */
const smallFile = 1024 * 1024;

/** Writes entries below a folder that nobody else writes to. */
class ContextWriter {
  readonly #root: string;
  /** Folders that were made or looked at: what stands above an entry is not looked at again for each. */
  readonly #folders = new Set<string>();
  /** Set at the end: each file made in a folder touches it. */
  readonly #folderTimes = new Map<string, number>();

  constructor(root: string) {
    this.#root = root;
  }

  async place({ header, body }: TarEntry): Promise<void> {
    const parts = partsOf(header.name);
    if (parts.length === 0) return;
    const path = join(this.#root, ...parts);
    this.#makeParents(parts, header.name);
    if (header.type === 'directory') {
      this.#makeFolder(path, header);
      return;
    }
    if (header.type === 'file') {
      await this.#makeFile(path, header, body);
      return;
    }
    this.#clear(path);
    switch (header.type) {
      case 'symlink':
        symlinkSync(bytesOfName(header.linkName), fsPath(path));
        lutimesSync(fsPath(path), timeOf(header), timeOf(header));
        return;
      case 'link':
        this.#makeLink(path, header);
        return;
      case 'fifo':
        makeNode(fsPath(path), { type: 'fifo', mode: 0o600, major: 0, minor: 0 });
        chmodSync(fsPath(path), header.mode & 0o7777);
        return;
      default:
        throw new WherryError('invalid', `${header.name}: build contexts with device nodes are not supported`);
    }
  }

  finish(): void {
    for (const [path, time] of this.#folderTimes) utimesSync(fsPath(path), time, time);
  }

  #makeFolder(path: string, header: TarHeader): void {
    if (!this.#folders.has(path)) {
      if (statusOf(path)?.isDirectory() === false) rmSync(fsPath(path), { force: true });
      mkdirSync(fsPath(path), { recursive: true });
      this.#folders.add(path);
    }
    chmodSync(fsPath(path), header.mode & 0o7777);
    this.#folderTimes.set(path, timeOf(header));
  }

  async #makeFile(path: string, header: TarHeader, body: TarBody): Promise<void> {
    const file = this.#openNew(path);
    try {
      if (body.whole) for (let done = 0; done < body.whole.length; ) done += writeSync(file, body.whole, done);
      else if (header.size <= smallFile) {
        for await (const piece of body) for (let done = 0; done < piece.length; ) done += writeSync(file, piece, done);
      } else await pipeline(Readable.from(body), createWriteStream('', { fd: file, autoClose: false }));
      fchmodSync(file, header.mode & 0o7777);
      futimesSync(file, timeOf(header), timeOf(header));
    } finally {
      closeSync(file);
    }
  }

  #openNew(path: string): number {
    try {
      return openSync(fsPath(path), 'wx', 0o600);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      this.#clear(path);
      return openSync(fsPath(path), 'wx', 0o600);
    }
  }

  /** The last entry of a name counts. */
  #clear(path: string): void {
    const there = statusOf(path);
    if (there === undefined) return;
    rmSync(fsPath(path), { recursive: true, force: true });
    if (!there.isDirectory()) return;
    this.#folders.clear();
    for (const folder of this.#folderTimes.keys()) {
      if (folder === path || folder.startsWith(`${path}/`)) this.#folderTimes.delete(folder);
    }
  }

  #makeLink(path: string, { name, linkName }: TarHeader): void {
    const target = partsOf(linkName);
    this.#makeParents(target, linkName);
    try {
      linkSync(fsPath(join(this.#root, ...target)), fsPath(path));
    } catch (error) {
      throw new WherryError('invalid', `${name} is a hard link to ${linkName}, which is not in the build context`, {
        cause: error,
      });
    }
  }

  /** Every folder above, which are folders of ours and no links: nothing is ever written through one. */
  #makeParents(parts: readonly string[], name: string): void {
    let path = this.#root;
    for (const part of parts.slice(0, -1)) {
      path = join(path, part);
      if (this.#folders.has(path)) continue;
      const there = statusOf(path);
      if (there === undefined) mkdirSync(fsPath(path), { mode: 0o755 });
      else if (!there.isDirectory()) {
        throw new WherryError('invalid', `${name}: ${part} is no folder of the build context`);
      }
      this.#folders.add(path);
    }
  }
}

function statusOf(path: string): Stats | undefined {
  return lstatSync(fsPath(path), { throwIfNoEntry: false });
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
