import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { DisposalStack, systemRandom, WherryError } from '@wherry/base';
import { decompressed, detectCompression } from '../content/compression.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { Ingest } from '../content/ingest.ts';
import type { WrittenBlob } from '../content/written-blob.ts';
import type { Arrival } from './arrival.ts';

const mostLinks = 8;

/**
 * The files of an image archive, written beside the content store's (archives name their members in any
 * order) but not committed: what the archive turns out not to need goes with it. Names and links are taken
 * as dockerd, which unpacks archives into a folder of their own, takes them: nothing leads out of it.
 */
export class ArchiveFiles implements AsyncDisposable {
  readonly #content: ContentStore;
  readonly #files = new Map<string, WrittenBlob>();
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

  /** From what a thread received; it is disposed with the files. */
  static fromArrival(content: ContentStore, arrival: Arrival): ArchiveFiles {
    const files = new ArchiveFiles(content);
    files.#disposal.use(arrival, 'an archive');
    for (const member of arrival.members) {
      const name = inside(member.name);
      // A later member of a name takes the place of the one before.
      files.#links.delete(name);
      if (member.type === 'file') files.#files.set(name, arrival.file(member));
      // `docker save` before 25 wrote equal layers as links to the first.
      else if (member.type === 'symlink') files.#links.set(name, inside(member.linkName, posix.dirname(name)));
      else if (member.type === 'link') files.#links.set(name, inside(member.linkName));
      else files.#folders.add(name);
    }
    return files;
  }

  /** From an OCI layout folder; only its plain files, links are not followed. */
  static async fromFolder(content: ContentStore, folder: string): Promise<ArchiveFiles> {
    const files = new ArchiveFiles(content);
    try {
      for (const entry of await readdir(folder, { recursive: true })) {
        const path = join(folder, entry);
        if (!(await lstat(path)).isFile()) continue;
        const ingest = await files.#begin();
        await ingest.fill(createReadStream(path));
        files.#files.set(entry, ingest);
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
  find(path: string): WrittenBlob | undefined {
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
  require(path: string): WrittenBlob {
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

  /** The plain form of a file that may be compressed, of at most `largest` bytes. Throws `tooLarge`, `corrupt`. */
  async plain(file: WrittenBlob, largest: number): Promise<WrittenBlob> {
    if (detectCompression(await file.start()) === 'none') {
      if (file.size > largest) throw new WherryError('tooLarge', `a layer of more than ${largest} bytes`);
      return file;
    }
    const ingest = await this.#begin();
    await ingest.fill(decompressed(file.stream()), largest);
    return ingest;
  }

  /** Something that belongs to the archive's images and is not in it. */
  async hold(bytes: Uint8Array): Promise<WrittenBlob> {
    const ingest = await this.#begin();
    await ingest.write(bytes);
    await ingest.rest();
    return ingest;
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

/** A path below the archive's root; `..` ends there, as below a changed root. */
function inside(path: string, folder = ''): string {
  return posix.resolve('/', folder, path).slice(1);
}
