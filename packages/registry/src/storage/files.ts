import { open, opendir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, makeDurableFolder, syncPath, systemRandom } from '@wherry/base';

/** A small file's text; `undefined` when there is none. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Names in a folder, as they come; none when there is no folder. */
export async function* namesIn(path: string): AsyncGenerator<string> {
  try {
    for await (const entry of await opendir(path, { bufferSize: 256 })) yield entry.name;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Removes a file; gives whether there was one. */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

export function isMissing(error: unknown): boolean {
  return errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR';
}

/** Writes small files by way of a folder of temporary ones, so that what a crash leaves behind has no name that means something. */
export class AtomicFiles {
  readonly #temporary: string;

  /** The folder must be on the file system of the files, and nobody else's: it is emptied by `cleanUp`. */
  constructor(temporary: string) {
    this.#temporary = temporary;
  }

  async cleanUp(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
    await makeDurableFolder(this.#temporary);
  }

  /**
   * Makes or replaces the file: a crash leaves the old content or the new one; once it resolves, the new one. Without
   * `sync` that holds for the process's end; a power cut may leave nothing, or an empty file.
   */
  async write(path: string, content: string, { sync = true }: { readonly sync?: boolean } = {}): Promise<void> {
    const temporary = join(this.#temporary, systemRandom.hex(24));
    try {
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.writeFile(content);
        if (sync) await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path).catch(async (error: unknown) => {
        if (!isMissing(error)) throw error;
        await makeDurableFolder(dirname(path));
        await rename(temporary, path);
      });
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    if (sync) await syncPath(dirname(path));
  }
}
