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

interface Folder {
  readonly descriptor: number;
  /** From the tree's root, for messages. */
  readonly names: readonly string[];
}

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
    this.#removeAt(undefined, bytesOfName(this.#path), []);
  }

  /** A file or a folder beneath another one, or of the path itself. `stack`: the folders that are open, outermost first. */
  #removeAt(parent: Folder | undefined, name: Buffer, stack: readonly Folder[]): void {
    const path = parent ? beneath(parent, name) : name;
    const names = parent ? [...parent.names, textOfName(name)] : [];
    try {
      if (isUnlinked(path) || (stack.length >= deepest && isLifted(path, stack[0]!))) return;
      // What was removed meanwhile is gone; what came is read again.
      for (let more = true; more; ) {
        const hadSome = this.#empty(path, names, stack);
        more = !isFolderRemoved(path, hadSome);
      }
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      if (error instanceof WherryError) throw error;
      const what = [this.#path, ...names].join('/');
      throw new WherryError('internal', `cannot remove ${what}: ${errnoOf(error) ?? error}`, { cause: error });
    }
  }

  /** Whether there was something in the folder. */
  #empty(path: Buffer, names: readonly string[], stack: readonly Folder[]): boolean {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      const folder: Folder = { descriptor, names };
      const inside = [...stack, folder];
      let hadSome = false;
      for (const { name } of entriesOf(Buffer.from(`/proc/self/fd/${descriptor}`))) {
        this.#removeAt(folder, name, inside);
        hadSome = true;
      }
      return hadSome;
    } finally {
      closeSync(descriptor);
    }
  }
}

function beneath(folder: Folder, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${folder.descriptor}/`), name]);
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
function isLifted(path: Buffer, root: Folder): boolean {
  try {
    renameSync(path, beneath(root, Buffer.from(systemRandom.hex(16))));
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
