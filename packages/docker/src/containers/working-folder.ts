import { closeSync, fstatSync } from 'node:fs';
import { codeOf, WherryError } from '@wherry/base';
import { openBeneath } from '@wherry/linux';
import type { DockerContext } from './context.ts';

const pathOnly = 0o10000000; // O_PATH

/** Refuses a folder for the first process that is a file of the image. One that is missing is made at the start. */
export async function checkWorkingFolder({ engine }: DockerContext, id: string, folder: string): Promise<void> {
  using root = await engine.openRootfs(id);
  let found: number;
  try {
    found = openBeneath(root.path, folder, { flags: pathOnly });
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return;
  }
  try {
    if (!fstatSync(found).isDirectory())
      throw new WherryError('internal', `Cannot mkdir: ${folder} is not a directory`);
  } finally {
    closeSync(found);
  }
}
