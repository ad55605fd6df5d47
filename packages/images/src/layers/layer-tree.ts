import { chmodSync, chownSync, lstatSync, mkdirSync, rmSync, type Stats, unlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, errnoOf, fsPath, messageOf, readLinkSync, WherryError } from '@wherry/base';
import { getExtendedAttribute, makeNode, setExtendedAttribute } from '@wherry/linux';
import { copyUp } from './copy-up.ts';

/** As the kernel's limit on nested links. */
const mostLinks = 40;
export const setgid = 0o2000;
const longestPath = 4096;
/** Says that a layer cannot be unpacked before those below it. */
const belowMissing = 'the layers below are not there yet';
/** Folders within each other. */
const deepest = 1000;

/**
 * The folder into which one layer is unpacked, above the layers below it. Paths of the archive are
 * resolved inside it as chroot would: every parent is looked at with lstat, links are followed
 * within the tree, and a parent that only a lower layer has is made here with that one's owner and
 * mode, so that overlayfs shows it unchanged. Nobody else writes to the folder, so checks hold.
 */
export class LayerTree {
  readonly root: string;
  readonly #lower: readonly string[] | undefined;
  /** Known real folders of this layer, relative to the root. */
  #folders = new Set<string>(['']);
  /** Files and folders that no entry of the archive stands for. */
  implied = 0;
  /** Whether some folder gives what is made in it another group or mode: setgid, or a default ACL. */
  bequeaths = false;

  /** `lower`: the layers below, topmost first; `undefined` while they are not there: what needs them throws. */
  constructor(root: string, lower: readonly string[] | undefined) {
    this.root = root;
    this.#lower = lower;
    const { gid, mode } = lstatSync(fsPath(root));
    this.bequeaths = gid !== 0 || (mode & setgid) !== 0;
  }

  /** Splits an archive's name. Throws `corrupt` for `..`, overlong names and the like. */
  static parts(name: string): string[] {
    const parts = name.split('/').filter((part) => part !== '' && part !== '.');
    if (name.length > longestPath || parts.length > deepest || parts.includes('..')) {
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
    mkdirSync(fsPath(path), 0o755);
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
    if (lstatOf(path)?.isDirectory() === true) {
      // Looking for those below it would take long where there are many.
      this.#folders = new Set(['']);
      rmSync(fsPath(path), { recursive: true, force: true });
    } else unlinkSync(fsPath(path));
  }

  /** Hides what the layers below have under this name (OCI layer.md, "Whiteouts"; overlayfs.rst). */
  whiteout(path: string): void {
    const there = lstatOf(path);
    if (there === undefined) makeNode(fsPath(path), { type: 'character', mode: 0 });
    else if (there.isDirectory()) this.makeOpaque(path);
  }

  /** Hides everything that the layers below have in this folder. */
  makeOpaque(path: string): void {
    setExtendedAttribute(fsPath(path), 'trusted.overlay.opaque', Buffer.from('y'));
  }

  /**
   * The host path of what a hard link leads to: in this layer, or a file that a lower one has, which is then copied
   * here, as overlayfs does for link(2). Gives the copied bytes. Throws `corrupt` when there is no such file.
   */
  linkTarget(name: string): { readonly path: string; readonly copied: number } {
    const parts = LayerTree.parts(name);
    const path = this.place(parts);
    const there = lstatOf(path);
    if (there !== undefined && !there.isDirectory() && !isWhiteout(there)) return { path, copied: 0 };
    const relative = path.slice(this.root.length + 1).split('/');
    const below = there === undefined && !this.#isHidden(relative) ? this.#below(relative) : undefined;
    if (below === undefined || below.status.isDirectory()) {
      throw new WherryError('corrupt', `a hard link leads to ${name}, which is no file of the layer or those below`);
    }
    this.implied++;
    return { path, copied: copyUp(below.path, below.status, path) };
  }

  /** Whether a folder on the way hides what the layers below have. */
  #isHidden(parts: readonly string[]): boolean {
    return parts.slice(0, -1).some((_, index) => {
      const folder = join(this.root, ...parts.slice(0, index + 1));
      return getExtendedAttribute(fsPath(folder), 'trusted.overlay.opaque')?.toString() === 'y';
    });
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
    if (there?.isSymbolicLink()) return readLinkSync(path);
    if (there && !there.isDirectory() && !isWhiteout(there)) {
      throw new WherryError('corrupt', `${relative} is not a folder, but the archive has files in it`);
    }
    if (!there?.isDirectory()) {
      const below = there ? undefined : this.#below(parts);
      if (below?.status.isSymbolicLink()) return readLinkSync(below.path);
      if (there) unlinkSync(fsPath(path));
      this.implied++;
      mkdirSync(fsPath(path));
      chmodSync(fsPath(path), 0o755);
      if (there) this.makeOpaque(path);
      if (below?.status.isDirectory()) {
        inherit(path, below.status);
        if (below.status.mode & setgid) this.bequeaths = true;
      }
    }
    this.#folders.add(relative);
    return undefined;
  }

  /** What the topmost lower layer that says anything about a path has there. */
  #below(parts: readonly string[]): { path: string; status: Stats } | undefined {
    if (this.#lower === undefined) throw new WherryError('unavailable', belowMissing);
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
    return lstatSync(fsPath(path));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isWhiteout(status: Stats): boolean {
  return status.isCharacterDevice() && status.rdev === 0;
}

function inherit(path: string, from: Stats): void {
  const folder = fsPath(path);
  chownSync(folder, from.uid, from.gid);
  chmodSync(folder, from.mode & 0o7777);
  utimesSync(folder, from.mtimeMs / 1000, from.mtimeMs / 1000);
}

/** Whether a layer could not be unpacked because it needs those below it, which are not there yet. */
export function needsLower(error: unknown): boolean {
  return codeOf(error) === 'unavailable' && messageOf(error) === belowMissing;
}
