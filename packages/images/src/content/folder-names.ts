import { readdir } from 'node:fs/promises';
import { errnoOf } from '@wherry/base';

/** The names in a folder; none when there is no folder. */
export async function readNames(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
