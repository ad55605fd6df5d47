import { chmodSync, chownSync, type Stats, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { fsPath } from '@wherry/base';
import { isFolderIn, lowerEntry } from './lower-entry.ts';

/** A folder of an unpacked layer whose archive had only what is in it, or had that first. */
export interface ImpliedFolder {
  /** Relative to the layer's root. */
  readonly path: string;
  /** Whether it is to be as the layers below have it: no entry of the archive says what it is. */
  readonly inherits: boolean;
}

/**
 * Gives folders that a layer only implies the owner, mode and times that they have below (`lower`, topmost first), so that
 * overlayfs shows them unchanged. False when one of them is a link there: what was put into it belongs elsewhere, and
 * the layer must be unpacked anew with those below it.
 */
export function settleImplied(root: string, lower: readonly string[], folders: readonly ImpliedFolder[]): boolean {
  for (const { path, inherits } of folders) {
    const below = lowerEntry(lower, path.split('/'));
    if (below?.status.isSymbolicLink()) return false;
    // By now it may have been removed, or be a link to anywhere.
    if (inherits && below?.status.isDirectory() && isFolderIn(root, path)) inherit(join(root, path), below.status);
  }
  return true;
}

function inherit(path: string, from: Stats): void {
  const folder = fsPath(path);
  chownSync(folder, from.uid, from.gid);
  chmodSync(folder, from.mode & 0o7777);
  utimesSync(folder, from.mtimeMs / 1000, from.mtimeMs / 1000);
}
