import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '@wherry/base';

/** A file that is there while a process uses a folder: found at the start, it tells of one that ended without a word. */
export class RunningMark {
  readonly #path: string;

  constructor(directory: string) {
    this.#path = join(directory, '.running');
  }

  /** Gives whether the mark was there. */
  async begin(): Promise<boolean> {
    try {
      await writeFile(this.#path, '', { flag: 'wx', mode: 0o600 });
      return false;
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return true;
      throw error;
    }
  }

  async end(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}
