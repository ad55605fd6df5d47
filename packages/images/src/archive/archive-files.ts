import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { DisposalStack, systemRandom, WherryError } from '@wherry/base';
import { decompressed } from '../content/compression.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { Ingest } from '../content/ingest.ts';
import { readTar } from '../tar/tar-reader.ts';

/** Files, folders and links. */
const mostMembers = 20_000;
const longestName = 4096;
/** Of headers, and of what stands behind an archive's end (bytes). */
const mostAround = 256 * 1024 * 1024;
const mostLinks = 8;

/**
 * The files of an image archive, spooled into the content store (archives name their members in any
 * order) but not committed: what the archive turns out not to need goes with it. Names and links are taken
 * as dockerd, which unpacks archives into a folder of their own, takes them: nothing leads out of it.
 */
export class ArchiveFiles implements AsyncDisposable {
  readonly #content: ContentStore;
  readonly #files = new Map<string, Ingest>();
  readonly #links = new Map<string, string>();
  readonly #folders = new Set<string>();
  readonly #disposal = new DisposalStack();
  /** Where dockerd would have unpacked it. */
  readonly #directory: string;

  private constructor(content: ContentStore) {
    this.#content = content;
    const number = Number.parseInt(systemRandom.hex(8), 16);
    this.#directory = join(content.directory, 'tmp', `docker-import-${number}`);
  }

  /** From a tar stream, compressed or not, with files of at most `largest` bytes together. Throws `tooLarge`. */
  static async fromTar(
    content: ContentStore,
    source: AsyncIterable<Uint8Array>,
    largest: number,
  ): Promise<ArchiveFiles> {
    const files = new ArchiveFiles(content);
    let total = 0;
    let members = 0;
    try {
      for await (const { header, body } of readTar(bounded(decompressed(source), largest))) {
        total += header.size;
        if (total > largest) throw new WherryError('tooLarge', `an archive of more than ${largest} bytes`);
        if (++members > mostMembers) {
          throw new WherryError('tooLarge', `an archive of more than ${mostMembers} files`);
        }
        if (header.name.length > longestName || header.linkName.length > longestName) {
          throw new WherryError('tooLarge', `a name of more than ${longestName} bytes in an archive`);
        }
        const name = inside(header.name);
        // A later member of a name takes the place of the one before.
        files.#links.delete(name);
        if (header.type === 'file') await files.#add(name, body);
        // `docker save` before 25 wrote equal layers as links to the first.
        else if (header.type === 'symlink') files.#links.set(name, inside(header.linkName, posix.dirname(name)));
        else if (header.type === 'link') files.#links.set(name, inside(header.linkName));
        else if (header.type === 'directory') files.#folders.add(name);
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
        if ((await lstat(path)).isFile()) await files.#add(entry, createReadStream(path));
      }
      return files;
    } catch (error) {
      await files[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The names of the folders at the top. */
  topFolders(): string[] {
    const names = new Set([...this.#folders].filter((name) => name !== '' && !name.includes('/')));
    for (const name of this.#files.keys()) if (name.includes('/')) names.add(name.slice(0, name.indexOf('/')));
    return [...names].sort();
  }

  /** A file by its path in the archive, through links. */
  find(path: string): Ingest | undefined {
    let name = inside(path);
    for (let links = 0; links < mostLinks; links++) {
      const found = this.#files.get(name);
      if (found) return found;
      const target = this.#links.get(name);
      if (target === undefined) return undefined;
      name = target;
    }
    return undefined;
  }

  /** As `find`; what is not there is told of in dockerd's words. Throws `corrupt`. */
  require(path: string): Ingest {
    const whole = this.checkPath(path);
    const found = this.find(path);
    if (found) return found;
    const name = inside(path);
    if (name === '' || this.#folders.has(name)) throw new WherryError('corrupt', `read ${whole}: is a directory`);
    throw new WherryError('corrupt', `open ${whole}: no such file or directory`);
  }

  /** Where dockerd would have a file. Throws `corrupt` for a path that leads out of the archive. */
  checkPath(path: string): string {
    const whole = posix.join(this.#directory, path);
    if (whole === this.#directory || whole.startsWith(`${this.#directory}/`)) return whole;
    throw new WherryError('corrupt', `evalSymlinksInScope: ${whole} is not in ${this.#directory}`);
  }

  /** The plain form of a file that is compressed, of at most `largest` bytes. Throws `tooLarge`, `corrupt`. */
  async plain(file: Ingest, largest: number): Promise<Ingest> {
    const ingest = await this.#begin();
    await ingest.fill(decompressed(file.stream()), largest);
    return ingest;
  }

  /** Something that belongs to the archive's images and is not in it. */
  async hold(bytes: Uint8Array): Promise<Ingest> {
    const ingest = await this.#begin();
    await ingest.write(bytes);
    await ingest.rest();
    return ingest;
  }

  async #add(name: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    const ingest = await this.#begin();
    await ingest.fill(body);
    this.#files.set(name, ingest);
  }

  async #begin(): Promise<Ingest> {
    const ingest = await this.#content.ingest();
    this.#disposal.use(ingest, 'a file of an archive');
    return ingest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disposal[Symbol.asyncDispose]();
  }
}

/** A small stream may unpack to any size, and go on behind the archive's end. */
async function* bounded(source: AsyncIterable<Uint8Array>, largest: number): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const chunk of source) {
    length += chunk.length;
    if (length > largest + mostAround) throw new WherryError('tooLarge', `an archive of more than ${largest} bytes`);
    yield chunk;
  }
}

/** A path below the archive's root; `..` ends there, as below a changed root. */
function inside(path: string, folder = ''): string {
  return posix.resolve('/', folder, path).slice(1);
}
