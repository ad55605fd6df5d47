import { constants } from 'node:fs';
import { chmod, chown, type FileHandle, lchown, lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, WherryError } from '@wherry/base';

/** `fsGroupChangePolicy` of the API. */
export type GroupChangePolicy = 'Always' | 'OnRootMismatch';

/**
 * Gives a volume to the pod's `fsGroup`: group of every entry, group read and write (folders also
 * search and set-group-id), as upstream's SetVolumeOwnership. Symbolic links are never followed.
 */
export async function applyGroup(
  root: string,
  gid: number,
  { readOnly = false, policy = 'Always' }: { readOnly?: boolean; policy?: GroupChangePolicy | undefined } = {},
): Promise<void> {
  const stats = await lstat(root);
  if (policy === 'OnRootMismatch' && stats.gid === gid && (stats.mode & 0o2770) === 0o2770) return;
  await own(root, gid, readOnly, 0);
}

const pathOnly = 0o10000000; // O_PATH
/** Each level holds a descriptor. */
const deepest = 500;

/**
 * What was looked at is what is changed: containers may be running, and one that puts a link in a
 * file's place meanwhile gains nothing.
 */
async function own(path: string, gid: number, readOnly: boolean, depth: number): Promise<void> {
  if (depth > deepest) throw new WherryError('invalid', `a volume has more than ${deepest} folders within each other`);
  let entry: FileHandle;
  try {
    entry = await open(path, pathOnly | constants.O_NOFOLLOW);
  } catch (error) {
    if (depth > 0 && errnoOf(error) === 'ENOENT') return; // removed meanwhile
    throw error;
  }
  try {
    const stats = await entry.stat();
    if (stats.isSymbolicLink()) {
      await lchown(path, stats.uid, gid);
      return;
    }
    const itself = `/proc/self/fd/${entry.fd}`;
    await chown(itself, stats.uid, gid);
    const bits = (readOnly ? 0o440 : 0o660) | (stats.isDirectory() ? 0o2110 : 0);
    // chown drops set-id bits: the mode comes second.
    await chmod(itself, (stats.mode & 0o7777) | bits);
    if (!stats.isDirectory()) return;
    for (const name of await readdir(itself)) await own(join(itself, name), gid, readOnly, depth + 1);
  } finally {
    await entry.close();
  }
}
