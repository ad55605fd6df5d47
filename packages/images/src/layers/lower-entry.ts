import { lstatSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, fsPath } from '@wherry/base';

/** A file, folder or link that a lower layer has. */
export interface LowerEntry {
  readonly path: string;
  readonly status: Stats;
}

/** What the topmost layer of these (topmost first) that says anything about a path has there. */
export function lowerEntry(lower: readonly string[], parts: readonly string[]): LowerEntry | undefined {
  for (const layer of lower) {
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

/** lstat, or `undefined` when there is nothing. */
export function lstatOf(path: string): Stats | undefined {
  try {
    return lstatSync(fsPath(path));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Overlayfs' mark of a name that is hidden. */
export function isWhiteout(status: Stats): boolean {
  return status.isCharacterDevice() && status.rdev === 0;
}

/** Whether a path below `root` is a folder, and leads there through folders alone. */
export function isFolderIn(root: string, path: string): boolean {
  let at = root;
  for (const part of path.split('/')) {
    at = join(at, part);
    if (lstatOf(at)?.isDirectory() !== true) return false;
  }
  return true;
}
