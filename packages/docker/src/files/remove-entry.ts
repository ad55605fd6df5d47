import { constants } from 'node:fs';
import { open, rmdir, unlink } from 'node:fs/promises';
import { errnoOf, fsPath, readFolder, WherryError } from '@wherry/base';

const deepest = 1000;

/**
 * Removes an entry of a folder (a descriptor) and what is below it. Goes by descriptors: a link that a process puts in a
 * folder's place meanwhile is removed and not followed.
 */
export async function removeEntry(folder: number, name: string, depth = 0): Promise<void> {
  if (depth > deepest)
    throw new WherryError('tooLarge', `${name} is in more than ${deepest} folders within each other`);
  const path = fsPath(`/proc/self/fd/${folder}/${name}`);
  try {
    await unlink(path);
    return;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    if (errnoOf(error) !== 'EISDIR' && errnoOf(error) !== 'EPERM') throw error;
  }
  const inner = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    for (const entry of await readFolder(`/proc/self/fd/${inner.fd}`)) await removeEntry(inner.fd, entry, depth + 1);
  } finally {
    await inner.close();
  }
  await rmdir(path);
}
