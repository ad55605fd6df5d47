import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDurableFolder, syncPath } from '@wherry/base';
import { algorithmOf, type Digest, hexOf, isDigest } from '@wherry/oci';
import type { BlobStore } from './blob-store.ts';
import { isMissing, namesIn, removeFile } from './files.ts';

/** Content in a folder: `<algorithm>/<two digits>/<hex>`. What stands there is whole. */
export class FolderBlobs implements BlobStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async size(digest: Digest): Promise<number | undefined> {
    try {
      return (await stat(this.#path(digest))).size;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async open(digest: Digest): Promise<FileHandle | undefined> {
    try {
      return await open(this.#path(digest), 'r');
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async adopt(file: string, digest: Digest): Promise<void> {
    const target = this.#path(digest);
    await makeDurableFolder(dirname(target));
    if ((await this.size(digest)) !== undefined) await rm(file, { force: true });
    else await rename(file, target);
    await syncPath(dirname(target));
  }

  async remove(digest: Digest): Promise<void> {
    await removeFile(this.#path(digest));
  }

  async *list(): AsyncGenerator<Digest> {
    for (const algorithm of ['sha256', 'sha512']) {
      for await (const prefix of namesIn(join(this.#folder, algorithm))) {
        for await (const hex of namesIn(join(this.#folder, algorithm, prefix))) {
          const digest = `${algorithm}:${hex}`;
          if (isDigest(digest)) yield digest;
        }
      }
    }
  }

  #path(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.#folder, algorithmOf(digest), hex.slice(0, 2), hex);
  }
}
