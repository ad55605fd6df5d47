import type { Stats } from 'node:fs';
import { chmod, lchown, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

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
  await own(root, stats, gid, readOnly);
}

async function own(path: string, stats: Stats, gid: number, readOnly: boolean): Promise<void> {
  await lchown(path, stats.uid, gid);
  if (stats.isSymbolicLink()) return;
  const bits = (readOnly ? 0o440 : 0o660) | (stats.isDirectory() ? 0o2110 : 0);
  // chown drops set-id bits: the mode comes second.
  await chmod(path, (stats.mode & 0o7777) | bits);
  if (!stats.isDirectory()) return;
  for (const name of await readdir(path)) {
    const child = join(path, name);
    await own(child, await lstat(child), gid, readOnly);
  }
}
