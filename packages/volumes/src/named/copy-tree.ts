import { type BigIntStats, closeSync, constants, lstatSync, readlinkSync } from 'node:fs';
import { chmod, type FileHandle, lchown, link, lstat, lutimes, mkdir, open, symlink } from 'node:fs/promises';
import { posix } from 'node:path';
import { bytesOfName, errnoOf, fsPath, readFolder, readLink, WherryError } from '@wherry/base';
import {
  getExtendedAttribute,
  listExtendedAttributes,
  makeNode,
  nextData,
  numbersOfDevice,
  openBeneath,
  setExtendedAttribute,
} from '@wherry/linux';

/** Folders within each other are held open on the way down. */
const deepest = 500;
const piece = 1 << 20;
const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Copies what is in the folder `source` into the empty folder `target` (descriptors), and its own owner, mode and times:
 * files with their holes, links, devices, owners, modes, times and extended attributes; hard links among them stay
 * links. Walks by descriptors, so that no link put in a folder's place leads out of either.
 */
export async function copyTree(source: number, target: number): Promise<void> {
  await new TreeCopy(target).folder(source, target, '', 0);
  const at = (descriptor: number): string => `/proc/self/fd/${descriptor}/.`;
  await settle(at(source), at(target), lstatSync(at(source), { bigint: true }));
}

class TreeCopy {
  readonly #root: number;
  /** Where files with several names were put first, by device and inode. */
  readonly #links = new Map<string, string>();

  constructor(root: number) {
    this.#root = root;
  }

  async folder(source: number, target: number, prefix: string, depth: number): Promise<void> {
    if (depth > deepest)
      throw new WherryError('tooLarge', `${prefix} has more than ${deepest} folders within each other`);
    for (const name of await readFolder(`/proc/self/fd/${source}`)) {
      await this.#entry(`/proc/self/fd/${source}/${name}`, `/proc/self/fd/${target}/${name}`, prefix + name, depth);
    }
  }

  async #entry(from: string, to: string, name: string, depth: number): Promise<void> {
    const status = await lstat(fsPath(from), { bigint: true });
    if (status.isSocket()) return;
    if (!status.isDirectory() && status.nlink > 1n && (await this.#linked(status, to, name))) return;
    if (status.isDirectory()) await this.#subfolder(from, to, name, depth);
    else if (status.isFile()) await copyFile(from, to);
    else if (status.isSymbolicLink()) await symlink(bytesOfName(await readLink(from)), fsPath(to));
    else {
      const type = status.isFIFO() ? 'fifo' : status.isBlockDevice() ? 'block' : 'character';
      makeNode(to, { type, mode: 0o600, ...numbersOfDevice(Number(status.rdev)) });
    }
    await settle(from, to, status);
  }

  /** Makes another name of a file that was copied before. */
  async #linked({ dev, ino }: BigIntStats, to: string, name: string): Promise<boolean> {
    const key = `${dev}:${ino}`;
    const first = this.#links.get(key);
    if (first === undefined) {
      this.#links.set(key, name);
      return false;
    }
    const folder = openBeneath(this.#root, posix.dirname(first), { flags: folderFlags, escape: 'refuse' });
    try {
      await link(fsPath(`/proc/self/fd/${folder}/${posix.basename(first)}`), fsPath(to));
    } finally {
      closeSync(folder);
    }
    return true;
  }

  async #subfolder(from: string, to: string, name: string, depth: number): Promise<void> {
    await mkdir(fsPath(to), 0o700);
    const source = await open(fsPath(from), folderFlags);
    try {
      const target = await open(fsPath(to), folderFlags);
      try {
        await this.folder(source.fd, target.fd, `${name}/`, depth + 1);
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  }
}

async function copyFile(from: string, to: string): Promise<void> {
  const source = await open(fsPath(from), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = await source.stat();
    if (!status.isFile())
      throw new WherryError('conflict', `${readlinkSync(`/proc/self/fd/${source.fd}`)} was replaced`);
    const target = await open(
      fsPath(to),
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      await copyData(source, target, status.size);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function copyData(source: FileHandle, target: FileHandle, size: number): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.max(Math.min(piece, size), 1));
  for (let data = nextData(source.fd, 0); data !== undefined; data = nextData(source.fd, data.end)) {
    for (let at = data.start; at < data.end; ) {
      const { bytesRead } = await source.read(buffer, 0, Math.min(buffer.length, data.end - at), at);
      if (bytesRead === 0) break;
      for (let done = 0; done < bytesRead; ) {
        done += (await target.write(buffer, done, bytesRead - done, at + done)).bytesWritten;
      }
      at += bytesRead;
    }
    if (data.end >= size || data.end <= data.start) break;
  }
  await target.truncate(size);
}

/** Owner first: to change it clears set-id bits and capabilities. */
async function settle(from: string, to: string, status: BigIntStats): Promise<void> {
  await lchown(fsPath(to), Number(status.uid), Number(status.gid));
  if (!status.isSymbolicLink()) {
    const itself = await open(fsPath(to), pathOnly | constants.O_NOFOLLOW);
    try {
      await chmod(`/proc/self/fd/${itself.fd}`, Number(status.mode) & 0o7777);
    } finally {
      await itself.close();
    }
  }
  copyAttributes(from, to);
  await lutimes(fsPath(to), Number(status.atimeNs) / 1e9, Number(status.mtimeNs) / 1e9);
}

const pathOnly = 0o10000000; // O_PATH

/** Overlayfs' own attributes stay where they are. What the file system of the target does not take is left out. */
function copyAttributes(from: string, to: string): void {
  for (const name of listExtendedAttributes(from)) {
    if (/^(?:trusted|user)\.overlay\./.test(name)) continue;
    const value = getExtendedAttribute(from, name);
    if (value === undefined) continue;
    try {
      setExtendedAttribute(to, name, value);
    } catch (error) {
      const code = errnoOf(error);
      if (code !== 'unsupported' && code !== 'forbidden') throw error;
    }
  }
}
