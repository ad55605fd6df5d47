import { rmSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { bytesOfName, entriesOf } from '@wherry/base';
import { statusOf } from '../files/resolve-within.ts';

/**
 * Removes what was made in a writable layer only to mount something on it: empty files and folders that no lower layer
 * has, and folders that came up into the layer for their sake alone.
 */
export async function removeMountStubs(
  upper: string,
  lower: readonly string[],
  targets: readonly string[],
): Promise<void> {
  for (const target of targets) {
    const parts = target.split('/').filter((part) => part !== '' && part !== '.');
    if (parts.includes('..')) continue;
    for (let length = parts.length; length > 0; length--) {
      const path = parts.slice(0, length);
      if (!removeStub(upper, lower, path, length < parts.length)) break;
    }
  }
}

/** False when it is there for another reason. */
function removeStub(upper: string, lower: readonly string[], parts: readonly string[], isParent: boolean): boolean {
  const path = join(upper, ...parts);
  if (!isReal(upper, parts.slice(0, -1))) return false;
  const status = statusOf(path);
  // Its folder may be a stub although it is gone already.
  if (status === undefined) return true;
  const isEmpty = status.isDirectory() ? isEmptyFolder(path) : status.isFile() && status.size === 0;
  if (!isEmpty) return false;
  const below = lowerStatus(lower, parts);
  if (below !== undefined && !(isParent && isCopyOf(status, below))) return false;
  rmSync(path, { recursive: true, force: true });
  return true;
}

function isEmptyFolder(path: string): boolean {
  for (const _ of entriesOf(bytesOfName(path), 1)) return false;
  return true;
}

function isCopyOf(status: Stats, below: Stats): boolean {
  return (
    status.isDirectory() &&
    below.isDirectory() &&
    status.mode === below.mode &&
    status.uid === below.uid &&
    status.gid === below.gid
  );
}

function lowerStatus(lower: readonly string[], parts: readonly string[]): Stats | undefined {
  for (const folder of lower) {
    if (!isReal(folder, parts.slice(0, -1))) continue;
    const status = statusOf(join(folder, ...parts));
    if (status !== undefined) return status.isCharacterDevice() && status.rdev === 0 ? undefined : status;
  }
  return undefined;
}

/** Whether all of these are folders and no links, which lead elsewhere. */
function isReal(root: string, parts: readonly string[]): boolean {
  return parts.every((_, index) => statusOf(join(root, ...parts.slice(0, index + 1)))?.isDirectory() === true);
}
