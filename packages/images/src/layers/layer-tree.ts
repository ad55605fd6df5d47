import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  rmSync,
  type Stats,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoOf, WherryError } from '@wherry/base';
import { makeNode, setExtendedAttribute } from '@wherry/linux';

/** As the kernel's limit on nested links. */
const mostLinks = 40;
const longestPath = 4096;

/**
 * The folder into which one layer is unpacked, above the layers below it. Paths of the archive are
 * resolved inside it as chroot would: every parent is looked at with lstat, links are followed
 * within the tree, and a parent that only a lower layer has is made here with that one's owner and
 * mode, so that overlayfs shows it unchanged. Nobody else writes to the folder, so checks hold.
 */
export class LayerTree {
  readonly root: string;
  readonly #lower: readonly string[];
  /** Known real folders of this layer, relative to the root. */
  readonly #folders = new Set<string>(['']);

  /** `lower`: the layers below, topmost first. */
  constructor(root: string, lower: readonly string[]) {
    this.root = root;
    this.#lower = lower;
  }

  /** Splits an archive's name. Throws `corrupt` for `..`, overlong names and the like. */
  static parts(name: string): string[] {
    const parts = name.split('/').filter((part) => part !== '' && part !== '.');
    if (name.length > longestPath || parts.includes('..')) {
      throw new WherryError('corrupt', `the archive has the path ${JSON.stringify(name.slice(0, 200))}`);
    }
    return parts;
  }

  /** The host path of an entry, its parent folders made. */
  place(parts: readonly string[]): string {
    const name = parts.at(-1);
    if (name === undefined) return this.root;
    return join(this.folder(parts.slice(0, -1)), name);
  }

  /** Makes or keeps a folder. */
  makeFolder(path: string): void {
    const there = lstatOf(path);
    if (there?.isDirectory()) return;
    if (there) this.remove(path);
    mkdirSync(path, 0o755);
    // What stood below was hidden by a whiteout of this layer: it stays hidden.
    if (there && isWhiteout(there)) this.makeOpaque(path);
  }

  /** Clears the way for an entry that is not a folder. */
  makeRoom(path: string): void {
    if (lstatOf(path)) this.remove(path);
  }

  /** Whether a path that was a folder still is: a parent may have become a link to anywhere since. */
  isFolder(path: string): boolean {
    let at = this.root;
    for (const part of path.slice(this.root.length).split('/')) {
      at = join(at, part);
      if (lstatOf(at)?.isDirectory() !== true) return false;
    }
    return true;
  }

  remove(path: string): void {
    if (path === this.root) throw new WherryError('corrupt', 'the archive replaces its root folder');
    const relative = path.slice(this.root.length + 1);
    for (const folder of this.#folders) {
      if (folder === relative || folder.startsWith(`${relative}/`)) this.#folders.delete(folder);
    }
    rmSync(path, { recursive: true, force: true });
  }

  /** Hides what the layers below have under this name (OCI layer.md, "Whiteouts"; overlayfs.rst). */
  whiteout(path: string): void {
    const there = lstatOf(path);
    if (there === undefined) makeNode(path, { type: 'character', mode: 0 });
    else if (there.isDirectory()) this.makeOpaque(path);
  }

  /** Hides everything that the layers below have in this folder. */
  makeOpaque(path: string): void {
    setExtendedAttribute(path, 'trusted.overlay.opaque', Buffer.from('y'));
  }

  /** The host path of a folder, made with its parents where it is missing. */
  folder(parts: readonly string[]): string {
    const known = parts.join('/');
    if (this.#folders.has(known)) return join(this.root, known);
    const at: string[] = [];
    const todo = [...parts].reverse();
    let links = 0;
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        at.pop();
        continue;
      }
      const link = this.#enter([...at, part]);
      if (link === undefined) {
        at.push(part);
        continue;
      }
      if (++links > mostLinks) throw new WherryError('corrupt', `too many links on the way to ${known}`);
      if (link.startsWith('/')) at.length = 0;
      todo.push(...link.split('/').reverse());
    }
    return join(this.root, ...at);
  }

  /** Sees to it that a folder is there; gives the target instead when it is a link. */
  #enter(parts: readonly string[]): string | undefined {
    const relative = parts.join('/');
    if (this.#folders.has(relative)) return undefined;
    const path = join(this.root, relative);
    const there = lstatOf(path);
    if (there?.isSymbolicLink()) return readlinkSync(path);
    if (there && !there.isDirectory() && !isWhiteout(there)) {
      throw new WherryError('corrupt', `${relative} is not a folder, but the archive has files in it`);
    }
    if (!there?.isDirectory()) {
      const below = there ? undefined : this.#below(parts);
      if (below?.status.isSymbolicLink()) return readlinkSync(below.path);
      if (there) unlinkSync(path);
      mkdirSync(path);
      chmodSync(path, 0o755);
      if (there) this.makeOpaque(path);
      if (below?.status.isDirectory()) inherit(path, below.status);
    }
    this.#folders.add(relative);
    return undefined;
  }

  /** What the topmost lower layer that says anything about a path has there. */
  #below(parts: readonly string[]): { path: string; status: Stats } | undefined {
    for (const layer of this.#lower) {
      let path = layer;
      let status: Stats | undefined;
      for (const [index, part] of parts.entries()) {
        path = join(path, part);
        status = lstatOf(path);
        if (status === undefined) break;
        const last = index === parts.length - 1;
        // A file, link or whiteout on the way hides the layers further down.
        if (!status.isDirectory() && !last) return undefined;
      }
      if (status !== undefined) return isWhiteout(status) ? undefined : { path, status };
    }
    return undefined;
  }
}

/** lstat, or `undefined` when there is nothing. */
export function lstatOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isWhiteout(status: Stats): boolean {
  return status.isCharacterDevice() && status.rdev === 0;
}

function inherit(path: string, from: Stats): void {
  chownSync(path, from.uid, from.gid);
  chmodSync(path, from.mode & 0o7777);
  utimesSync(path, from.mtimeMs / 1000, from.mtimeMs / 1000);
}
