import { readdir, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, removeTree } from '@wherry/base';
import { mountsBelow, unmountAll, unmountBind } from '@wherry/linux';

/**
 * Unmounts what lies below a pod's folder and removes it. Nothing is deleted before every mount is
 * gone, so a host folder mounted below it is never emptied; a mount that does not go throws.
 */
export async function removePodFolder(folder: string): Promise<void> {
  const subPaths = await leaves(join(folder, 'volume-subpaths'), 3);
  for (const target of subPaths) {
    unmountBind(target);
    await removeTarget(target);
  }
  const volumes = await leaves(join(folder, 'volumes'), 2);
  for (const target of volumes) unmountAll(target);
  // A container with Bidirectional propagation may have left mounts deeper inside.
  if (volumes.length > 0) for (const { mountPoint } of mountsBelow(folder)) unmountAll(mountPoint);
  await removeTree(folder);
}

/** The paths `depth` levels below a folder; none when it is not there. */
async function leaves(folder: string, depth: number): Promise<string[]> {
  if (depth === 0) return [folder];
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return [];
    throw error;
  }
  const below = await Promise.all(names.map((name) => leaves(join(folder, name), depth - 1)));
  return below.flat();
}

/** rmdir and unlink refuse a mount point: a second guard. */
async function removeTarget(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR') await unlink(path);
    else if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
