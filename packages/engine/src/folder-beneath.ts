import { closeSync, constants, mkdirSync } from 'node:fs';
import { codeOf, WherryError } from '@wherry/base';
import { openBeneath } from '@wherry/linux';

/**
 * Makes a folder and those above it beneath `root`, following links no further than `root` itself. Throws `invalid` in
 * docker's words, without the host's path, where something else stands in the way.
 */
export function makeFolderBeneath(root: string, path: string): void {
  let done = '.';
  for (const part of path.split('/').filter((name) => name !== '' && name !== '.')) {
    const next = `${done}/${part}`;
    const flags = constants.O_RDONLY | constants.O_DIRECTORY;
    try {
      closeSync(openBeneath(root, next, { flags }));
    } catch (error) {
      if (codeOf(error) !== 'notFound')
        throw new WherryError('invalid', `Cannot mkdir: ${path} is not a directory`, { cause: error });
      const parent = openBeneath(root, done, { flags });
      try {
        mkdirSync(`/proc/self/fd/${parent}/${part}`, 0o755);
      } finally {
        closeSync(parent);
      }
    }
    done = next;
  }
}
