import { constants, createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, systemRandom, WherryError } from '@wherry/base';
import { algorithmOf, type Digest, digestOf, hashFor, hexOf, isDigest } from '@wherry/oci';
import type { DiskSync } from '../disk-sync.ts';
import type { LayerThreads } from '../threads/layer-threads.ts';
import { startOf } from './file-start.ts';
import { readNames } from './folder-names.ts';
import { Ingest } from './ingest.ts';
import { KeptContent, linked } from './kept-content.ts';

/** A download that nobody went on with for this long (ms) is given up. */
const longestPartial = 7 * 24 * 3600 * 1000;

/**
 * Blobs by digest: `blobs/<algorithm>/<hex>`, as in an OCI layout. A blob is written to `ingest/`,
 * verified, synced (unless it is doubtful until the disk is) and renamed, so that what stands in `blobs` is whole.
 */
export class ContentStore {
  readonly #directory: string;
  readonly #disk: DiskSync;
  readonly #threads: LayerThreads;
  readonly #kept = new Map<string, KeptContent>();

  constructor(directory: string, disk: DiskSync, threads: LayerThreads) {
    this.#directory = directory;
    this.#disk = disk;
    this.#threads = threads;
  }

  /** What `owner`, a word, keeps beside the images. */
  kept(owner: string): KeptContent {
    const known = this.#kept.get(owner);
    if (known) return known;
    const kept = new KeptContent(join(this.#directory, 'kept', owner), (digest) => this.path(digest));
    this.#kept.set(owner, kept);
    return kept;
  }

  /** Takes a blob that is kept beside the images. `false` when none of this size is. */
  async takeKept(digest: Digest, size: number): Promise<boolean> {
    for (const kept of this.#kept.values()) {
      if ((await kept.size(digest)) !== size) continue;
      const target = this.path(digest);
      await mkdir(join(target, '..'), { recursive: true, mode: 0o700 });
      if (await linked(kept.path(digest), target)) return true;
    }
    return false;
  }

  /** Where the blob is, or would be. */
  path(digest: Digest): string {
    return join(this.#directory, 'blobs', digest.startsWith('sha512:') ? 'sha512' : 'sha256', hexOf(digest));
  }

  /** The size in bytes, or `undefined` when the blob is not here. */
  async size(digest: Digest): Promise<number | undefined> {
    try {
      return (await stat(this.path(digest))).size;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** A small blob, verified. Throws `notFound`, `tooLarge`, `corrupt`. */
  async read(digest: Digest, limit: number): Promise<Buffer> {
    const size = await this.size(digest);
    if (size === undefined) throw new WherryError('notFound', `content ${digest} is not here`);
    if (size > limit) throw new WherryError('tooLarge', `content ${digest} has ${size} bytes, more than ${limit}`);
    const content = await readFile(this.path(digest));
    if (hashFor(digest).update(content).digest('hex') !== hexOf(digest)) {
      throw new WherryError('corrupt', `content ${digest} does not match its digest`);
    }
    return content;
  }

  /** The first bytes of a blob, by which formats are told apart. */
  async start(digest: Digest): Promise<Buffer> {
    return await startOf(this.path(digest));
  }

  stream(digest: Digest): AsyncIterable<Buffer> {
    return createReadStream(this.path(digest), { highWaterMark: 256 * 1024 });
  }

  /** Writes a small blob; `options` as of `Ingest.commit`. */
  async write(content: Uint8Array, options: { readonly sync?: boolean } = {}): Promise<Digest> {
    const digest = digestOf(content);
    if ((await this.size(digest)) === content.length) return digest;
    await using ingest = await this.ingest();
    await ingest.write(content);
    await ingest.commit(digest, options);
    return digest;
  }

  /** Begins a blob. Dispose it when it was not committed. */
  async ingest(): Promise<Ingest> {
    const path = await this.temporary();
    return this.#ingest(await open(path, 'wx+', 0o600), path);
  }

  /**
   * Begins a blob whose digest is known, or goes on with what there is of it from before: what is not
   * committed stays in `partial/` until it is, or turns out to be wrong. One at a time for each digest.
   */
  async resume(digest: Digest): Promise<Ingest> {
    const folder = join(this.#directory, 'partial');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `${algorithmOf(digest)}-${hexOf(digest)}`);
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const ingest = this.#ingest(file, path, true);
    try {
      await ingest.readBack();
      return ingest;
    } catch (error) {
      await ingest[Symbol.asyncDispose]();
      throw error;
    }
  }

  get directory(): string {
    return this.#directory;
  }

  /** A path for a blob that something else writes; `adopt` it or remove it. */
  async temporary(): Promise<string> {
    const folder = join(this.#directory, 'ingest');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return join(folder, systemRandom.hex(16));
  }

  /** Enters a file that was hashed and synced while it was written. */
  async adopt(path: string, digest: Digest): Promise<void> {
    const target = this.path(digest);
    await mkdir(join(target, '..'), { recursive: true, mode: 0o700 });
    await rename(path, target);
  }

  async remove(digest: Digest): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  async list(): Promise<Digest[]> {
    const found: Digest[] = [];
    for (const algorithm of ['sha256', 'sha512']) {
      for (const hex of await readNames(join(this.#directory, 'blobs', algorithm))) {
        const digest = `${algorithm}:${hex}`;
        if (isDigest(digest)) found.push(digest);
      }
    }
    return found;
  }

  #ingest(file: FileHandle, path: string, isResumed = false): Ingest {
    const place = { target: (digest: Digest) => this.path(digest), disk: this.#disk, threads: this.#threads };
    return new Ingest(file, path, place, isResumed);
  }

  /** Removes what a process that died left half-written. Only before anything is begun. */
  async cleanUp(): Promise<void> {
    await rm(join(this.#directory, 'ingest'), { recursive: true, force: true });
    for (const name of await readNames(join(this.#directory, 'partial'))) {
      const path = join(this.#directory, 'partial', name);
      if (Date.now() - (await stat(path)).mtimeMs > longestPartial) await rm(path, { force: true });
    }
  }
}
