import { lstatSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { Breather, bytesOfName, entriesOf, fsPath, readLinkSync, textOfName, WherryError } from '@wherry/base';
import { resolveWithin, statusOf } from './resolve-within.ts';
import type { WorkBound } from './work-bound.ts';

export type EntryType = 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo';

/** A file of a tree that is copied from. */
export interface SourceEntry {
  /** From the tree's root, without a slash at either end; empty for the root. */
  readonly path: string;
  readonly type: EntryType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number; // ms
  readonly linkName: string;
  readonly device: number;
  /** Of a file with several names: equal for all of them. */
  readonly inode: string | undefined;
}

/** Files of one source: huge trees fail instead of filling the memory. */
const mostEntries = 2_000_000;

export interface FindOptions {
  readonly signal?: AbortSignal | undefined;
  /** How much is looked at. Throws `MoreWork` beyond it. */
  readonly bound?: WorkBound | undefined;
}

interface Walk {
  readonly found: SourceEntry[];
  readonly breather: Breather;
  readonly bound: WorkBound | undefined;
}

/** A tree that is copied from: the build's context, another image's root, what was downloaded. */
export class SourceTree {
  readonly root: string;
  /** Whether its files keep their owners; those of a context belong to root. */
  readonly keepsOwners: boolean;
  readonly #includes: ((path: string) => boolean) | undefined;
  readonly #mayReturn: boolean;
  readonly #skipsSockets: boolean;

  /**
   * `includes` says which paths are there; `mayReturn`: below what is not there, something may be again
   * (`!` in an ignore file). `skipsSockets`: they are not there; default: they fail.
   */
  constructor(
    root: string,
    options: {
      readonly keepsOwners?: boolean;
      readonly includes?: ((path: string) => boolean) | undefined;
      readonly mayReturn?: boolean;
      readonly skipsSockets?: boolean;
    } = {},
  ) {
    this.root = root;
    this.keepsOwners = options.keepsOwners ?? false;
    this.#includes = options.includes;
    this.#mayReturn = options.mayReturn ?? false;
    this.#skipsSockets = options.skipsSockets ?? false;
  }

  /** Whether something of the folder is left out. */
  get isFiltered(): boolean {
    return this.#includes !== undefined;
  }

  /** What a path leads to, links followed within the tree. `undefined` when there is nothing, or it is left out. */
  async find(path: string, options: FindOptions = {}): Promise<SourceEntry | undefined> {
    const real = resolveWithin(this.root, path);
    const status = statusOf(join(this.root, real));
    if (status === undefined) return undefined;
    const entry = this.#entry(real, status);
    if (real === '' || this.#isIncluded(real)) return entry;
    // A folder that is left out is there when something below it is not.
    if (entry.type !== 'directory' || !this.#mayReturn) return undefined;
    return (await this.list(real, options)).length > 0 ? entry : undefined;
  }

  /** Everything below a folder, in the order of names; links are not followed. */
  async list(folder: string, { signal, bound }: FindOptions = {}): Promise<readonly SourceEntry[]> {
    const found: SourceEntry[] = [];
    await this.#walk(folder, { found, breather: new Breather(signal), bound });
    return found;
  }

  async #walk(folder: string, walk: Walk): Promise<void> {
    const { found, breather, bound } = walk;
    const names: string[] = [];
    for (const { name } of entriesOf(bytesOfName(join(this.root, folder)))) {
      // What is left out is looked at, too.
      bound?.count();
      names.push(textOfName(name));
    }
    for (const name of names.sort()) {
      const path = folder === '' ? name : `${folder}/${name}`;
      await breather.rest();
      const isIncluded = this.#isIncluded(path);
      if (!isIncluded && !this.#mayReturn) continue;
      const status = lstatSync(fsPath(join(this.root, path)));
      if (this.#skipsSockets && status.isSocket()) continue;
      const entry = this.#entry(path, status);
      bound?.weigh(entry.size);
      if (found.length >= mostEntries) throw new WherryError('tooLarge', `more than ${mostEntries} files to copy`);
      if (isIncluded) found.push(entry);
      if (entry.type !== 'directory') continue;
      const before = found.length;
      await this.#walk(path, walk);
      // The folder of what came back is there, too.
      if (!isIncluded && found.length > before) found.splice(before, 0, entry);
    }
  }

  #isIncluded(path: string): boolean {
    return this.#includes === undefined || this.#includes(path);
  }

  #entry(path: string, status: Stats): SourceEntry {
    const type = typeOf(status);
    if (type === undefined) throw new WherryError('invalid', `archive/tar: sockets not supported: ${path}`);
    return {
      path,
      type,
      mode: status.mode & 0o7777,
      uid: this.keepsOwners ? status.uid : 0,
      gid: this.keepsOwners ? status.gid : 0,
      size: type === 'file' ? status.size : 0,
      mtime: status.mtimeMs,
      linkName: type === 'symlink' ? readLinkSync(join(this.root, path)) : '',
      device: type === 'character' || type === 'block' ? status.rdev : 0,
      inode: type === 'file' && status.nlink > 1 ? `${status.dev}:${status.ino}` : undefined,
    };
  }
}

function typeOf(status: Stats): EntryType | undefined {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'directory';
  if (status.isSymbolicLink()) return 'symlink';
  if (status.isFIFO()) return 'fifo';
  if (status.isCharacterDevice()) return 'character';
  return status.isBlockDevice() ? 'block' : undefined;
}
