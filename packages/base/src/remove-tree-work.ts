import { closeSync, constants, lstatSync, openSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { errnoOf, WherryError } from './errors.ts';
import { bytesOfName, entriesOf, textOfName } from './file-names.ts';
import { systemRandom } from './random.ts';
import type { TaskWork } from './serve-tasks.ts';

/** What threads do for `removeTree`. */
export type RemovalTasks = {
  /** Removes a file or a folder with all that is in it. */
  readonly remove: { readonly request: { readonly path: string }; readonly result: undefined };
};

export const removalWork: TaskWork<RemovalTasks> = {
  remove: ({ path }) => {
    new Removal(path).run();
    return undefined;
  },
};

/** Folders inside of one another that are open at the same time. */
const deepest = 64;

/**
 * Goes from folder to folder by descriptors: a link that comes in a folder's place meanwhile is not followed, and paths may
 * be longer than the kernel takes (PATH_MAX), as processes make them that change into each new folder.
 */
class Removal {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  run(): void {
    const path = bytesOfName(this.#path);
    this.#removing(
      () => [],
      () => {
        if (!isUnlinked(path)) this.#removeFolder(path, [], []);
      },
    );
  }

  /** What is gone meanwhile is removed. */
  #removing(namesOf: () => readonly string[], work: () => void): void {
    try {
      work();
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      if (error instanceof WherryError) throw error;
      const what = [this.#path, ...namesOf()].join('/');
      throw new WherryError('internal', `cannot remove ${what}: ${errnoOf(error) ?? error}`, { cause: error });
    }
  }

  /**
   * `names` are from the tree's root, for messages; `stack` has what stands before names in the folders above that are
   * open, outermost first.
   */
  #removeFolder(path: Buffer, names: readonly string[], stack: readonly Buffer[]): void {
    if (stack.length >= deepest && isLifted(path, stack[0]!)) return;
    // What came meanwhile is read again.
    for (let isGone = false; !isGone; ) {
      const hadSome = this.#empty(path, names, stack);
      isGone = isFolderRemoved(path, hadSome);
    }
  }

  /** Whether there was something in the folder. */
  #empty(path: Buffer, names: readonly string[], stack: readonly Buffer[]): boolean {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      const prefix = Buffer.from(`/proc/self/fd/${descriptor}/`);
      const inside = [...stack, prefix];
      let hadSome = false;
      for (const { name, isFolder } of entriesOf(prefix)) {
        hadSome = true;
        const entry = Buffer.concat([prefix, name]);
        const namesOf = (): readonly string[] => [...names, textOfName(name)];
        this.#removing(namesOf, () => {
          if (isFolder || !isUnlinked(entry)) this.#removeFolder(entry, namesOf(), inside);
        });
      }
      return hadSome;
    } finally {
      closeSync(descriptor);
    }
  }
}

/** False: it is a folder. */
function isUnlinked(path: Buffer): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    const code = errnoOf(error);
    // Linux says EISDIR, POSIX EPERM (unlink(2)).
    if (code === 'EISDIR' || (code === 'EPERM' && lstatSync(path).isDirectory())) return false;
    throw error;
  }
}

/** Puts a deep folder into the root, where it is found in turn. False: the file system does not do that (overlay: EXDEV). */
function isLifted(path: Buffer, root: Buffer): boolean {
  try {
    renameSync(path, Buffer.concat([root, Buffer.from(systemRandom.hex(16))]));
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EXDEV') throw error;
    return false;
  }
}

/** False: it is not empty, but was not before, so that another try may help. */
function isFolderRemoved(path: Buffer, hadSome: boolean): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (!hadSome || errnoOf(error) !== 'ENOTEMPTY') throw error;
    return false;
  }
}
