import { constants, lchownSync, lstatSync, mkdirSync, type Stats, statSync } from 'node:fs';
import { chmod, lchown, link, lutimes, mkdir, open, symlink } from 'node:fs/promises';
import { posix } from 'node:path';
import { bytesOfName, codeOf, errnoOf, fsPath, WherryError } from '@wherry/base';
import { readTar, type TarEntry, type TarHeader } from '@wherry/images';
import { makeNode, setExtendedAttribute } from '@wherry/linux';
import { idOnHost, type UserMappings } from '@wherry/runtime';
import type { ContainerTree, Located } from './container-tree.ts';
import { removeEntry } from './remove-entry.ts';

export interface ExtractOptions {
  /** A folder is not replaced by what is none, nor the other way round. */
  readonly noOverwriteDirNonDir: boolean;
  /** Whose everything becomes; `undefined`: as the archive says. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Whose numbers of owners the archive and `owner` have; `undefined`: the machine's. */
  readonly users: UserMappings | undefined;
}

const pathOnly = 0o10000000; // O_PATH
/** Times of folders are set at the end; of so many at most. */
const mostFolderTimes = 100_000;

/**
 * Unpacks an archive into the folder `target` of a container. Names and links are resolved inside of it as the kernel
 * would below a chroot, each entry anew, and every file is made at a descriptor of its folder: neither an archive nor a
 * process of the container leads a write out of it. Failures are in dockerd's words.
 */
export async function extractArchive(
  tree: ContainerTree,
  target: string,
  archive: AsyncIterable<Uint8Array>,
  options: ExtractOptions,
): Promise<void> {
  const extraction = new Extraction(tree, target, options);
  try {
    for await (const entry of readTar(archive)) await extraction.place(entry);
    await extraction.finish();
  } catch (error) {
    throw errnoOf(error) === 'ENOSPC'
      ? new WherryError('exhausted', 'no space left on device', { cause: error })
      : error;
  }
}

class Extraction {
  readonly #tree: ContainerTree;
  readonly #target: string;
  readonly #options: ExtractOptions;
  readonly #folderTimes = new Map<string, number>();

  constructor(tree: ContainerTree, target: string, options: ExtractOptions) {
    this.#tree = tree;
    this.#target = target;
    this.#options = options;
  }

  async place({ header, body }: TarEntry): Promise<void> {
    const path = this.#pathOf(
      header.name,
      `${JSON.stringify(header.name)} is outside of ${JSON.stringify(this.#target)}`,
    );
    if (path === this.#target) return;
    using folder = this.#folder(posix.dirname(path));
    const name = posix.basename(path);
    const inTree = posix.join(folder.path, name);
    this.#tree.checkWritable(inTree);
    const mounted = this.#tree.isMount(inTree);
    // What is mounted may be a link on the host.
    const there = mounted ? `${this.#tree.entry(folder, name)}/.` : `/proc/self/fd/${folder.descriptor}/${name}`;
    const kept = mounted
      ? this.#keepMount(this.#tree.entry(folder, name), header, path)
      : await this.#makeRoom(folder, name, header, path);
    if (!kept) await this.#make(there, header, body, path);
    if (header.type === 'link') return;
    await this.#settle(there, header);
    if (header.type === 'directory' && this.#folderTimes.size < mostFolderTimes)
      this.#folderTimes.set(path, header.mtime);
  }

  /** At the end: each file made in a folder touches it. */
  async finish(): Promise<void> {
    for (const [path, time] of this.#folderTimes) {
      try {
        using folder = this.#tree.locate(path, { follow: false });
        if (folder.status.isDirectory()) await setTimes(`/proc/self/fd/${folder.descriptor}/.`, time);
      } catch (error) {
        if (codeOf(error) === undefined) throw error;
      }
    }
  }

  /** A name of the archive as a path of the container. Throws where it leads out of the target. */
  #pathOf(name: string, refusal: string): string {
    const path = posix.join(this.#target, posix.normalize(`./${name}`)).replace(/(.)\/$/, '$1');
    const within = this.#target === '/' || path === this.#target || path.startsWith(`${this.#target}/`);
    const outside = /^(?:\.\/)*\.\.(?:\/|$)/.test(posix.normalize(`./${name}`));
    if (!within || outside) throw new WherryError('internal', refusal);
    return path;
  }

  /** The folder at a path, made with its parents where it is missing. */
  #folder(path: string): Located {
    for (let made = false; ; made = true) {
      try {
        const found = this.#tree.locate(path, { follow: true });
        if (found.status.isDirectory()) return found;
        found[Symbol.dispose]();
        throw new WherryError('internal', `mkdir ${path}: not a directory`);
      } catch (error) {
        if (codeOf(error) !== 'notFound' || made || path === '/') throw error;
      }
      using parent = this.#folder(posix.dirname(path));
      const name = posix.basename(path);
      this.#tree.checkWritable(posix.join(parent.path, name));
      try {
        const made = `/proc/self/fd/${parent.descriptor}/${name}`;
        mkdirSync(fsPath(made), 0o755);
        const { users } = this.#options;
        if (users !== undefined) lchownSync(fsPath(made), idOf(0, users.uidMappings), idOf(0, users.gidMappings));
      } catch (error) {
        // A link that leads nowhere is there, too.
        if (errnoOf(error) !== 'EEXIST') throw error;
      }
    }
  }

  /** Clears the way; true when a folder is there that stays. */
  async #makeRoom(folder: Located, name: string, header: TarHeader, path: string): Promise<boolean> {
    const status = lstatOf(`/proc/self/fd/${folder.descriptor}/${name}`);
    if (status === undefined) return false;
    if (this.#stays(status.isDirectory(), header, path)) return true;
    await removeEntry(folder.descriptor, name);
    return false;
  }

  /** Something is mounted there: nothing takes its place. */
  #keepMount(hostPath: string, header: TarHeader, path: string): true {
    if (this.#stays(statSync(fsPath(hostPath), { throwIfNoEntry: false })?.isDirectory() === true, header, path))
      return true;
    throw new WherryError('internal', `unlinkat ${path}: device or resource busy`);
  }

  #stays(isFolder: boolean, { type }: TarHeader, path: string): boolean {
    if (isFolder && type === 'directory') return true;
    if (this.#options.noOverwriteDirNonDir && isFolder !== (type === 'directory')) {
      const [old, next] = isFolder ? ['directory', 'non-directory'] : ['non-directory', 'directory'];
      const words = `cannot overwrite ${old} ${JSON.stringify(path)} with ${next} ${JSON.stringify(this.#target)}`;
      throw new WherryError('internal', words);
    }
    return false;
  }

  async #make(there: string, header: TarHeader, body: AsyncIterable<Buffer>, path: string): Promise<void> {
    const { type } = header;
    if (type === 'directory') await mkdir(fsPath(there), 0o700);
    else if (type === 'file') await writeFile(there, body);
    else if (type === 'link') await this.#link(there, header, path);
    else if (type === 'symlink') await symlink(bytesOfName(header.linkName), fsPath(there));
    else makeNode(there, { type, mode: 0o600, major: header.major, minor: header.minor });
  }

  async #link(there: string, { linkName }: TarHeader, path: string): Promise<void> {
    const refusal = `invalid hardlink ${JSON.stringify(path)} -> ${JSON.stringify(linkName)}`;
    const source = this.#pathOf(linkName, refusal);
    if (source === this.#target) throw new WherryError('internal', refusal);
    using folder = this.#tree.locate(posix.dirname(source), { follow: true });
    await link(fsPath(`/proc/self/fd/${folder.descriptor}/${posix.basename(source)}`), fsPath(there));
  }

  /** Owner first: to change it clears set-id bits and capabilities. */
  async #settle(there: string, header: TarHeader): Promise<void> {
    const { uid, gid } = this.#options.owner ?? header;
    const { users } = this.#options;
    await lchown(fsPath(there), idOf(uid, users?.uidMappings), idOf(gid, users?.gidMappings));
    if (header.type !== 'symlink') {
      const itself = await open(fsPath(there), pathOnly | constants.O_NOFOLLOW);
      try {
        // What is a link by now would lead chmod on.
        if (!(await itself.stat()).isSymbolicLink()) await chmod(`/proc/self/fd/${itself.fd}`, header.mode);
      } finally {
        await itself.close();
      }
    }
    for (const [name, value] of header.xattrs) setAttribute(there, name, value);
    await setTimes(there, header.mtime);
  }
}

async function writeFile(path: string, body: AsyncIterable<Buffer>): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(fsPath(path), flags, 0o600);
  try {
    for await (const piece of body) {
      for (let done = 0; done < piece.length; ) {
        done += (await file.write(piece, done, piece.length - done)).bytesWritten;
      }
    }
  } finally {
    await file.close();
  }
}

/** `trusted.*` is overlayfs' own. Attributes that the file system does not take are left out. */
function setAttribute(path: string, name: string, value: Uint8Array): void {
  if (!/^(?:security\.|user\.(?!overlay\.))/.test(name) || name.includes('\0')) return;
  try {
    setExtendedAttribute(path, name, value);
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'unsupported' && code !== 'forbidden') throw error;
  }
}

async function setTimes(path: string, mtime: number): Promise<void> {
  // What is beyond the kernel's times becomes the epoch.
  const time = Math.abs(mtime) < 2 ** 33 ? mtime : 0;
  await lutimes(fsPath(path), time, time);
}

function idOf(id: number, mappings: UserMappings['uidMappings'] | undefined): number {
  const known = Number.isInteger(id) && id >= 0 && id <= 0xfffffffe;
  const mapped = !known || mappings === undefined ? id : idOnHost(mappings, id);
  if (!known || mapped === undefined) throw new WherryError('corrupt', `invalid owner ${id}`);
  return mapped;
}

function lstatOf(path: string): Stats | undefined {
  try {
    return lstatSync(fsPath(path));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
