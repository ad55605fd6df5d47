import { closeSync, constants, fstatSync } from 'node:fs';
import { chown, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Clock,
  codeOf,
  KeyedMutex,
  type Logger,
  messageOf,
  type Random,
  readFolder,
  removeTree,
  syncPath,
  WherryError,
} from '@wherry/base';
import { isMountPoint, mountsBelow, openBeneath, unmountAll } from '@wherry/linux';
import type { CreateVolume, NamedVolumes, VolumeRecord } from '../named-volumes.ts';
import { copyTree } from './copy-tree.ts';
import { folderSize } from './folder-size.ts';
import { readVolumeFile, type VolumeFile, writeVolumeFile } from './volume-file.ts';
import { checkVolumeName, checkVolumeOptions, hasFileSystem, isInMemory, mountVolume } from './volume-options.ts';

export interface NamedVolumesOptions {
  /** Volumes are `ROOT/volumes/NAME/_data`. */
  readonly root: string;
  /** Whom new ones belong to: root of containers with users of their own. Default: root. */
  readonly owner?: readonly [uid: number, gid: number] | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Names that no volume can have: what is being made and what is being removed. */
const unfinished = '.new-';
const removed = '.removed-';

/** Opens the volumes below `root`; puts right what a crash left half done. Throws `unsupported` for a record of another version. */
export async function openNamedVolumes(options: NamedVolumesOptions): Promise<NamedVolumes> {
  const folder = join(options.root, 'volumes');
  await mkdir(folder, { recursive: true, mode: 0o711 });
  const files = new Map<string, VolumeFile>();
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (name.startsWith(unfinished) || name.startsWith(removed)) {
      await removeFolder(path, options.log);
      continue;
    }
    try {
      files.set(name, await recovered(path, await readVolumeFile(path)));
      for (const file of await readdir(path)) if (file.endsWith('.tmp')) await rm(join(path, file), { force: true });
    } catch (error) {
      if (codeOf(error) === 'unsupported') throw error;
      options.log.warn('left a folder among the volumes alone', { path, error: messageOf(error) });
    }
  }
  return new LocalVolumes(folder, files, options);
}

/** After a crash or a reboot: nothing is half filled, and nobody has mounted what is not mounted. */
async function recovered(folder: string, file: VolumeFile): Promise<VolumeFile> {
  const data = join(folder, '_data');
  const isMounted = hasFileSystem(file.options) && isMountPoint(data);
  const { filling, mountedBy } = file;
  if (filling && (!hasFileSystem(file.options) || isMounted)) {
    for (const name of await readFolder(data)) await removeTree(join(data, name));
  }
  if (isMounted && mountedBy.length === 0) unmountAll(data);
  if (!filling && (isMounted || mountedBy.length === 0)) return file;
  const next = { ...file, filling: false, mountedBy: isMounted ? mountedBy : [] };
  await writeVolumeFile(folder, next);
  return next;
}

async function removeFolder(folder: string, log: Logger): Promise<void> {
  try {
    for (const { mountPoint } of mountsBelow(folder)) unmountAll(mountPoint);
    if (mountsBelow(folder).length > 0) throw new WherryError('conflict', 'something is still mounted in it');
    await removeTree(folder);
  } catch (error) {
    log.warn('cannot remove a volume', { path: folder, error: messageOf(error) });
  }
}

class LocalVolumes implements NamedVolumes {
  readonly #folder: string;
  readonly #files: Map<string, VolumeFile>;
  readonly #options: NamedVolumesOptions;
  readonly #locks = new KeyedMutex();

  constructor(folder: string, files: Map<string, VolumeFile>, options: NamedVolumesOptions) {
    this.#folder = folder;
    this.#files = files;
    this.#options = options;
  }

  async create(request: CreateVolume): Promise<VolumeRecord> {
    const name = request.name || this.#options.random.hex(64);
    const { driver = '' } = request;
    if (driver !== '' && driver !== 'local') {
      const words = `error looking up volume plugin ${driver}: plugin ${JSON.stringify(driver)} not found`;
      throw new WherryError('notFound', `create ${name}: ${words}`);
    }
    checkVolumeName(name);
    return this.#locks.run(name, async () => {
      const there = this.find(name);
      if (there !== undefined) {
        if (request.user !== undefined) await this.#write(name, heldBy(this.#existing(name), request.user));
        return there;
      }
      const options = request.options ?? {};
      checkVolumeOptions(name, options);
      const file: VolumeFile = {
        version: 1,
        createdAt: this.#options.clock.now(),
        options,
        labels: request.labels ?? {},
        anonymous: request.anonymous === true,
        users: request.user === undefined ? [] : [request.user],
        mountedBy: [],
        filling: false,
      };
      await this.#make(name, file);
      this.#files.set(name, file);
      return this.#record(name, file);
    });
  }

  /** With one rename: a volume is there whole or not at all. */
  async #make(name: string, file: VolumeFile): Promise<void> {
    const folder = join(this.#folder, `${unfinished}${this.#options.random.hex(16)}`);
    try {
      await mkdir(folder, { mode: 0o701 });
      await mkdir(join(folder, '_data'), { mode: 0o755 });
      if (this.#options.owner !== undefined) await chown(join(folder, '_data'), ...this.#options.owner);
      await writeVolumeFile(folder, file);
      await rename(folder, join(this.#folder, name));
      await syncPath(this.#folder);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw new WherryError('internal', `create ${name}: ${messageOf(error)}`, { cause: error });
    }
  }

  find(name: string): VolumeRecord | undefined {
    const file = this.#files.get(name);
    return file && this.#record(name, file);
  }

  list(): readonly VolumeRecord[] {
    return [...this.#files].map(([name, file]) => this.#record(name, file));
  }

  async remove(name: string, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    await this.#locks.run(name, async () => {
      const file = this.#files.get(name);
      if (file === undefined) {
        if (force) return;
        throw notFound(name);
      }
      if (file.users.length > 0) {
        throw new WherryError('conflict', `remove ${name}: volume is in use - [${file.users.join(', ')}]`);
      }
      unmountAll(this.#data(name));
      const aside = join(this.#folder, `${removed}${this.#options.random.hex(16)}`);
      await rename(join(this.#folder, name), aside);
      this.#files.delete(name);
      await syncPath(this.#folder);
      await removeFolder(aside, this.#options.log);
    });
  }

  async size(name: string): Promise<number | undefined> {
    const file = this.#existing(name);
    return Object.keys(file.options).length > 0 ? undefined : folderSize(this.#data(name));
  }

  hold(name: string, user: string): Promise<void> {
    return this.#change(name, (file) => heldBy(file, user));
  }

  async release(name: string, user: string): Promise<void> {
    if (!this.#files.has(name)) return;
    await this.unmount(name, user);
    await this.#change(name, (file) => without(file, 'users', (other) => other === user));
  }

  users(name: string): readonly string[] {
    return this.#files.get(name)?.users ?? [];
  }

  async mount(name: string, user: string): Promise<string> {
    const data = this.#data(name);
    await this.#locks.run(name, async () => {
      const file = this.#existing(name);
      if (!hasFileSystem(file.options)) return;
      // Written down first: after a crash it is known whose mount it is.
      if (!file.mountedBy.includes(user)) await this.#write(name, { ...file, mountedBy: [...file.mountedBy, user] });
      try {
        if (!isMountPoint(data)) await mountVolume(file.options, data);
      } catch (error) {
        await this.#write(name, file);
        throw error;
      }
    });
    return data;
  }

  async unmount(name: string, user: string): Promise<void> {
    await this.#locks.run(name, async () => {
      const file = this.#files.get(name);
      if (!file?.mountedBy.includes(user)) return;
      const next = without(file, 'mountedBy', (other) => other === user);
      if (next.mountedBy.length === 0) unmountAll(this.#data(name));
      await this.#write(name, next);
    });
  }

  async copyUp(name: string, root: string, source: string): Promise<void> {
    if (isInMemory(this.#existing(name).options)) return;
    const from = openAny(root, source);
    if (from === undefined) return;
    const user = `copy-${this.#options.random.hex(16)}`;
    try {
      const data = await this.mount(name, user);
      await this.#locks.run(name, async () => {
        const file = this.#existing(name);
        if ((await readdir(data)).length > 0) return;
        if (!fstatSync(from).isDirectory())
          throw new WherryError('internal', `source ${join(root, source)} is not directory`);
        await this.#write(name, { ...file, filling: true });
        await fill(from, data);
        await this.#write(name, { ...file, filling: false });
      });
    } finally {
      closeSync(from);
      await this.unmount(name, user);
    }
  }

  async reconcile(users: ReadonlySet<string>): Promise<void> {
    for (const [name, { users: holders, mountedBy }] of this.#files) {
      for (const user of mountedBy) if (!users.has(user)) await this.unmount(name, user);
      if (holders.every((user) => users.has(user))) continue;
      await this.#change(name, (file) => without(file, 'users', (user) => !users.has(user)));
    }
  }

  /** Mounts stay: containers outlive the daemon. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#files.keys()].map((name) => this.#locks.run(name, async () => undefined)));
  }

  #existing(name: string): VolumeFile {
    const file = this.#files.get(name);
    if (file === undefined) throw notFound(name);
    return file;
  }

  async #change(name: string, change: (file: VolumeFile) => VolumeFile): Promise<void> {
    await this.#locks.run(name, async () => {
      const file = this.#existing(name);
      const next = change(file);
      if (next !== file) await this.#write(name, next);
    });
  }

  async #write(name: string, file: VolumeFile): Promise<void> {
    await writeVolumeFile(join(this.#folder, name), file);
    this.#files.set(name, file);
  }

  #data(name: string): string {
    return join(this.#folder, name, '_data');
  }

  #record(name: string, { createdAt, options, labels, anonymous }: VolumeFile): VolumeRecord {
    return { name, driver: 'local', mountpoint: this.#data(name), createdAt, options, labels, anonymous };
  }
}

function notFound(name: string): WherryError {
  return new WherryError('notFound', `get ${name}: no such volume`);
}

function heldBy(file: VolumeFile, user: string): VolumeFile {
  return file.users.includes(user) ? file : { ...file, users: [...file.users, user] };
}

function without(file: VolumeFile, list: 'users' | 'mountedBy', gone: (user: string) => boolean): VolumeFile {
  return file[list].some(gone) ? { ...file, [list]: file[list].filter((user) => !gone(user)) } : file;
}

const pathOnly = 0o10000000; // O_PATH

/** What an image has at a path; `undefined` where it has none. */
function openAny(root: string, path: string): number | undefined {
  try {
    return openBeneath(root, path, { flags: pathOnly });
  } catch (error) {
    const errno = (error as WherryError).details?.errno;
    if (codeOf(error) === 'notFound' || errno === 'ENOTDIR' || errno === 'ELOOP') return undefined;
    throw error;
  }
}

/** `from` is a folder, by a descriptor that is good for its path alone. */
async function fill(from: number, data: string): Promise<void> {
  const source = await open(`/proc/self/fd/${from}/.`, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const to = await open(data, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      await copyTree(source.fd, to.fd);
      await to.sync();
    } finally {
      await to.close();
    }
  } finally {
    await source.close();
  }
}
