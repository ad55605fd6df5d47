import { chmodSync, lstatSync, mkdirSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fsPath, readLinkSync, WherryError } from '@wherry/base';
import { getExtendedAttribute, makeNode, setExtendedAttribute } from '@wherry/linux';
import { copyUp } from './copy-up.ts';
import type { ImpliedFolder } from './implied-folders.ts';
import { isWhiteout, lowerEntry, lstatOf } from './lower-entry.ts';

/** As the kernel's limit on nested links. */
const mostLinks = 40;
export const setgid = 0o2000;
const longestPath = 4096;
/** Folders within each other. */
const deepest = 1000;

/**
 * The folder into which one layer is unpacked, above the layers below it. Paths of the archive are
 * resolved inside it as chroot would: every parent is looked at with lstat, links are followed
 * within the tree, and a parent that only a lower layer has is made here, to become as that one is
 * (`settleImplied`). Nobody else writes to the folder, so checks hold.
 */
export class LayerTree {
  readonly root: string;
  readonly #lower: readonly string[] | undefined;
  /** Known real folders of this layer, relative to the root. */
  #folders = new Set<string>(['']);
  /** Folders of parents that the archive does not have; whether they are to be as below, or have an entry by now. */
  readonly #implied = new Map<string, boolean>();
  /** Files and folders that no entry of the archive stands for. */
  implied = 0;
  /** Whether some folder gives what is made in it another group or mode: setgid, or a default ACL. */
  bequeaths = false;

  /**
   * `lower`: the layers below, topmost first; `undefined` while they are not there: then parents are taken for folders, or
   * nothing, in them, and what seems broken may be none.
   */
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

  /** Folders that `settleImplied` is to finish. */
  get impliedFolders(): ImpliedFolder[] {
    return [...this.#implied].map(([path, inherits]) => ({ path, inherits }));
  }

  /** Makes or keeps a folder that the archive has. */
  makeFolder(path: string): void {
    this.#standsForItself(path.slice(this.root.length + 1));
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
    const below =
      there === undefined && !this.#isHidden(relative) ? lowerEntry(this.#lower ?? [], relative) : undefined;
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
      if (there) this.#standsForItself(relative);
      else if (this.#lower === undefined) this.#implied.set(relative, true);
      else {
        const below = lowerEntry(this.#lower, parts);
        if (below?.status.isSymbolicLink()) return readLinkSync(below.path);
        if (below?.status.isDirectory()) this.#implied.set(relative, true);
      }
      if (there) unlinkSync(fsPath(path));
      this.implied++;
      mkdirSync(fsPath(path));
      chmodSync(fsPath(path), 0o755);
      if (there) this.makeOpaque(path);
    }
    this.#folders.add(relative);
    return undefined;
  }

  #standsForItself(relative: string): void {
    if (this.#implied.has(relative)) this.#implied.set(relative, false);
  }
}
