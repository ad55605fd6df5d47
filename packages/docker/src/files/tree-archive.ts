import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { errnoOf, fsPath, readFolder, readLink, WherryError } from '@wherry/base';
import type { TarInput } from '@wherry/images';
import { getExtendedAttribute, listExtendedAttributes, numbersOfDevice } from '@wherry/linux';
import { idInContainer, type UserMappings } from '@wherry/runtime';

/** Folders within each other are held open on the way down. */
const deepest = 1000;
const piece = 256 * 1024;

/** What a folder is read through. */
export interface ArchiveFolder {
  /** The path of an entry, good for calls that do not follow a link at its end. */
  readonly entry: (name: string) => string;
  /** The folder below, whose descriptor this is. */
  readonly enter: (name: string, descriptor: number) => ArchiveFolder;
}

/** Reads a tree into the entries of an archive, in the order of names, a file with several names once. */
export class TreeArchive {
  readonly #links = new Map<string, string>();
  readonly #users: UserMappings | undefined;

  /** `users`: whose numbers of owners the archive has; default: the machine's. */
  constructor(users?: UserMappings) {
    this.#users = users;
  }

  /** What a folder holds; `prefix` stands before the names. `list` is a path at which it is read. */
  async *folder(
    folder: ArchiveFolder,
    list: string,
    prefix: string,
    depth = 0,
  ): AsyncGenerator<TarInput, void, undefined> {
    if (depth > deepest)
      throw new WherryError('tooLarge', `${prefix} has more than ${deepest} folders within each other`);
    for (const name of (await readFolder(list)).sort()) {
      const path = folder.entry(name);
      const entry = await this.entry(path, prefix + name);
      if (entry === undefined) continue;
      yield* withContent(entry, path);
      if (entry.type !== 'directory') continue;
      const inner = await present(
        open(fsPath(path), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW),
      );
      if (inner === undefined) continue;
      try {
        const below = folder.enter(name, inner.fd);
        yield* this.folder(below, `/proc/self/fd/${inner.fd}`, `${prefix}${name}/`, depth + 1);
      } finally {
        await inner.close();
      }
    }
  }

  /** The header of a file; `undefined` for what no archive holds (sockets) or is gone. */
  async entry(path: string, name: string): Promise<TarInput | undefined> {
    const status = await present(lstat(fsPath(path), { bigint: true }));
    if (status === undefined || status.isSocket()) return undefined;
    const facts = {
      name,
      mode: Number(status.mode) & 0o7777,
      uid: ownerIn(this.#users?.uidMappings, status.uid),
      gid: ownerIn(this.#users?.gidMappings, status.gid),
      mtime: Number(status.mtimeMs / 1000n),
    };
    if (!status.isDirectory() && status.nlink > 1n) {
      const key = `${status.dev}:${status.ino}`;
      const first = this.#links.get(key);
      if (first !== undefined) return { ...facts, type: 'link', linkName: first };
      this.#links.set(key, name);
    }
    if (status.isSymbolicLink()) {
      const linkName = await present(readLink(path));
      return linkName === undefined ? undefined : { ...facts, type: 'symlink', linkName };
    }
    const xattrs = attributesOf(path);
    const type = typeOf(status);
    if (type !== 'character' && type !== 'block') return { ...facts, type, xattrs };
    return { ...facts, type, xattrs, ...numbersOfDevice(Number(status.rdev)) };
  }
}

function ownerIn(mappings: UserMappings['uidMappings'] | undefined, id: bigint): number {
  return mappings === undefined ? Number(id) : idInContainer(mappings, Number(id));
}

/** An entry, with the content of a file as long as it is open. */
export async function* withContent(entry: TarInput, path: string): AsyncGenerator<TarInput, void, undefined> {
  if (entry.type !== 'file') {
    yield entry;
    return;
  }
  // It may have been replaced by what waits for its other end, or does something when opened.
  const file = await present(open(fsPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
  if (file === undefined) return;
  try {
    const status = await file.stat();
    if (status.isFile()) yield { ...entry, content: { size: status.size, body: contentOf(file, status.size) } };
  } finally {
    await file.close();
  }
}

/** Exactly `size` bytes: the rest of a file that grows is left out, of one that is cut there are zeros. */
async function* contentOf(file: FileHandle, size: number): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < size; ) {
    const wanted = Math.min(piece, size - at);
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
    yield bytesRead === 0 ? Buffer.alloc(wanted) : buffer.subarray(0, bytesRead);
    at += bytesRead === 0 ? wanted : bytesRead;
  }
}

function typeOf(status: BigIntStats): Exclude<TarInput['type'], 'link' | 'symlink'> {
  if (status.isDirectory()) return 'directory';
  if (status.isFIFO()) return 'fifo';
  if (status.isBlockDevice()) return 'block';
  return status.isCharacterDevice() ? 'character' : 'file';
}

function attributesOf(path: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  try {
    for (const name of listExtendedAttributes(path)) {
      if (name !== 'security.capability' && !/^user\.(?!overlay\.)/.test(name)) continue;
      const value = getExtendedAttribute(path, name);
      if (value) found.set(name, value);
    }
  } catch (error) {
    if (errnoOf(error) !== 'notFound') throw error;
  }
  return found;
}

/** What disappears while a running container's tree is read is left out. */
export async function present<T>(look: Promise<T>): Promise<T | undefined> {
  try {
    return await look;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== undefined && ['ENOENT', 'ENOTDIR', 'ELOOP', 'ESTALE', 'EINVAL', 'ENXIO'].includes(errno))
      return undefined;
    throw error;
  }
}
