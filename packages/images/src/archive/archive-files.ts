import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { DisposalStack, systemRandom, WherryError } from '@wherry/base';
import { decompressed } from '../content/compression.ts';
import type { ContentStore, Ingest } from '../content/content-store.ts';
import { LayerTree } from '../layers/layer-tree.ts';
import { readTar } from '../tar/tar-reader.ts';

const mostFiles = 20_000;
const mostLinks = 8;

/**
 * The files of an image archive, spooled into the content store (archives name their members in any
 * order) but not committed: what the archive turns out not to need goes with it.
 */
export class ArchiveFiles implements AsyncDisposable {
  readonly #files = new Map<string, Ingest>();
  readonly #links = new Map<string, string>();
  readonly #disposal = new DisposalStack();
  readonly #directory: string;

  private constructor(content: ContentStore) {
    this.#directory = join(content.directory, 'tmp');
  }

  /** From a tar stream, compressed or not, with files of at most `largest` bytes together. Throws `tooLarge`. */
  static async fromTar(
    content: ContentStore,
    source: AsyncIterable<Uint8Array>,
    largest: number,
  ): Promise<ArchiveFiles> {
    const files = new ArchiveFiles(content);
    let total = 0;
    try {
      for await (const { header, body } of readTar(decompressed(source))) {
        const name = LayerTree.parts(header.name).join('/');
        total += header.size;
        if (total > largest) throw new WherryError('tooLarge', `an archive of more than ${largest} bytes`);
        if (header.type === 'file') await files.#add(content, name, body);
        // `docker save` before 25 wrote equal layers as links to the first.
        else if (header.type === 'symlink') files.#links.set(name, posix.join(dirname(name), header.linkName));
        else if (header.type === 'link') files.#links.set(name, LayerTree.parts(header.linkName).join('/'));
      }
      return files;
    } catch (error) {
      await files[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** From an OCI layout folder; only its plain files, links are not followed. */
  static async fromFolder(content: ContentStore, folder: string): Promise<ArchiveFiles> {
    const files = new ArchiveFiles(content);
    try {
      for (const entry of await readdir(folder, { recursive: true })) {
        const path = join(folder, entry);
        if ((await lstat(path)).isFile()) await files.#add(content, entry, createReadStream(path));
      }
      return files;
    } catch (error) {
      await files[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where dockerd, which unpacks archives, would have a file: what it says where one is missing. */
  pathOf(path: string): string {
    return join(this.#directory, `docker-import-${Number.parseInt(systemRandom.hex(8), 16)}`, path);
  }

  /** A file by its path in the archive, through links. */
  find(path: string): Ingest | undefined {
    let name = posix.normalize(path).replace(/^\/+/, '');
    for (let links = 0; links < mostLinks; links++) {
      const found = this.#files.get(name);
      if (found) return found;
      const target = this.#links.get(name);
      if (target === undefined) return undefined;
      name = target;
    }
    return undefined;
  }

  async #add(content: ContentStore, name: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#files.size >= mostFiles) throw new WherryError('tooLarge', `an archive of more than ${mostFiles} files`);
    const ingest = await content.ingest();
    this.#disposal.use(ingest, name);
    for await (const chunk of body) await ingest.write(chunk);
    await ingest.seal();
    this.#files.set(name, ingest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disposal[Symbol.asyncDispose]();
  }
}
