import { chmodSync, chownSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fsPath, WherryError } from '@wherry/base';
import { resolveWithin, statusOf } from './resolve-within.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The root file system that a step writes to, mounted for it alone: nobody else writes, so that what was looked at
 * holds. Paths are those of the image.
 */
export class Destination {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** What is there, links followed. */
  isFolder(path: string): boolean {
    return statusOf(join(this.root, resolveWithin(this.root, path)))?.isDirectory() === true;
  }

  /** Whether something that is no folder is there, links followed. */
  isTaken(path: string): boolean {
    const there = statusOf(join(this.root, resolveWithin(this.root, path)));
    return there !== undefined && !there.isDirectory();
  }

  /** The host path of a folder, made with those above it; new ones get the owner. */
  folder(path: string, owner: Owner, mode = 0o755): string {
    let at = this.root;
    for (const part of resolveWithin(this.root, path).split('/')) {
      if (part === '') continue;
      at = join(at, part);
      const there = statusOf(at);
      if (there?.isDirectory()) continue;
      if (there) throw new WherryError('invalid', `mkdir ${at.slice(this.root.length)}: not a directory`);
      mkdirSync(fsPath(at));
      chmodSync(fsPath(at), mode);
      if (owner.uid !== 0 || owner.gid !== 0) chownSync(fsPath(at), owner.uid, owner.gid);
    }
    return at;
  }

  /** The host path for a file, links followed as far as they lead; its folder is made. */
  place(path: string, owner: Owner): string {
    const real = resolveWithin(this.root, path, { followLast: false });
    const cut = real.lastIndexOf('/');
    return join(this.folder(real.slice(0, Math.max(cut, 0)), owner), real.slice(cut + 1));
  }

  /** Clears the way at a host path: for a folder an existing folder stays. False: there is one. */
  makeRoom(hostPath: string, forFolder: boolean): boolean {
    const there = statusOf(hostPath);
    if (there === undefined) return true;
    if (there.isDirectory() && forFolder) return false;
    if (hostPath === this.root) throw new WherryError('invalid', 'cannot replace the root folder');
    rmSync(fsPath(hostPath), { recursive: true, force: true });
    return true;
  }
}
