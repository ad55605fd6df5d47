import { copyFile, type FileHandle, link, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, makeDurableFolder, syncPath, systemRandom } from '@wherry/base';
import { algorithmOf, type Digest, hexOf, isDigest } from '@wherry/oci';
import { readNames } from './folder-names.ts';

/**
 * Content that another part of the process keeps beside the images, each of it once on disk whoever needs it: names of its own,
 * `kept/<owner>/<algorithm>/<two digits>/<hex>`, for the files that images have in `blobs/`. Who gives content up
 * removes a name, and the file goes with the last one: no collection has to know of the other.
 */
export class KeptContent {
  readonly #folder: string;
  readonly #imagesPath: (digest: Digest) => string;

  /** `imagesPath`: where images have a blob, or would have it. */
  constructor(folder: string, imagesPath: (digest: Digest) => string) {
    this.#folder = folder;
    this.#imagesPath = imagesPath;
  }

  async size(digest: Digest): Promise<number | undefined> {
    return await sizeOf(this.path(digest));
  }

  /** Opened for reading; stays readable when it is removed meanwhile. */
  async open(digest: Digest): Promise<FileHandle | undefined> {
    try {
      return await open(this.path(digest), 'r');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Takes over a file that was verified and synced; it survives a power cut once this resolves, and `file` is gone. */
  async adopt(file: string, digest: Digest): Promise<void> {
    const target = this.path(digest);
    await makeDurableFolder(dirname(target));
    const { size } = await stat(file);
    const isHere = (await this.size(digest)) === size || (await this.#takeFromImages(digest, size));
    if (isHere) await rm(file, { force: true });
    else await move(file, target);
    await syncPath(dirname(target));
  }

  async remove(digest: Digest): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  async *list(): AsyncGenerator<Digest> {
    for (const algorithm of ['sha256', 'sha512']) {
      for (const prefix of await readNames(join(this.#folder, algorithm))) {
        for (const hex of await readNames(join(this.#folder, algorithm, prefix))) {
          const digest = `${algorithm}:${hex}`;
          if (isDigest(digest)) yield digest;
        }
      }
    }
  }

  /** Where the content is, or would be. */
  path(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.#folder, algorithmOf(digest), hex.slice(0, 2), hex);
  }

  async #takeFromImages(digest: Digest, size: number): Promise<boolean> {
    const source = this.#imagesPath(digest);
    if ((await sizeOf(source)) !== size || !(await linked(source, this.path(digest)))) return false;
    // What was pulled just now is perhaps not on the disk yet.
    await syncPath(this.path(digest));
    return true;
  }
}

/** Gives a file a second name. `false` where it is gone, or on another file system. */
export async function linked(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target);
    return true;
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'EEXIST') return true;
    // EMLINK: a file has as many names as its file system allows (ext4: 65,000).
    if (code === 'ENOENT' || code === 'EXDEV' || code === 'EMLINK' || code === 'EPERM') return false;
    throw error;
  }
}

/** Renames, or copies to another file system. */
async function move(file: string, target: string): Promise<void> {
  try {
    await rename(file, target);
  } catch (error) {
    if (errnoOf(error) !== 'EXDEV') throw error;
    const temporary = `${target}.${systemRandom.hex(8)}`;
    try {
      await copyFile(file, temporary);
      await syncPath(temporary);
      await rename(temporary, target);
    } finally {
      await rm(temporary, { force: true });
    }
    await rm(file, { force: true });
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
