import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, systemRandom, WherryError } from '@wherry/base';
import { algorithmOf, type Digest, digestOf, hashFor, hexOf, isDigest } from '@wherry/oci';
import type { DiskSync } from '../disk-sync.ts';
import { readNames } from './folder-names.ts';
import { namingFullDisk } from './full-disk.ts';
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
  readonly #kept = new Map<string, KeptContent>();

  constructor(directory: string, disk: DiskSync) {
    this.#directory = directory;
    this.#disk = disk;
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

  /** Writes a small blob. */
  async write(content: Uint8Array): Promise<Digest> {
    const digest = digestOf(content);
    if ((await this.size(digest)) === content.length) return digest;
    await using ingest = await this.ingest();
    await ingest.write(content);
    await ingest.commit(digest);
    return digest;
  }

  /** Begins a blob. Dispose it when it was not committed. */
  async ingest(): Promise<Ingest> {
    const folder = join(this.#directory, 'ingest');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, systemRandom.hex(16));
    const file = await open(path, 'wx+', 0o600);
    return new Ingest(file, path, (digest) => this.path(digest), this.#disk);
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
    const ingest = new Ingest(file, path, (found) => this.path(found), this.#disk, true);
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

  /** Removes what a process that died left half-written. Only before anything is begun. */
  async cleanUp(): Promise<void> {
    await rm(join(this.#directory, 'ingest'), { recursive: true, force: true });
    for (const name of await readNames(join(this.#directory, 'partial'))) {
      const path = join(this.#directory, 'partial', name);
      if (Date.now() - (await stat(path)).mtimeMs > longestPartial) await rm(path, { force: true });
    }
  }
}

/** A blob that is being written. One writer. */
export class Ingest implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #target: (digest: Digest) => string;
  readonly #disk: DiskSync;
  #sha256 = createHash('sha256');
  #size = 0;
  #sealed = false;
  /** Closed before it was synced. */
  #isResting = false;
  #committed: string | undefined;
  /** Whether what is not committed is kept for another time. */
  #isKept: boolean;

  constructor(file: FileHandle, path: string, target: (digest: Digest) => string, disk: DiskSync, isKept = false) {
    this.#disk = disk;
    this.#isKept = isKept;
    this.#file = file;
    this.#path = path;
    this.#target = target;
  }

  get size(): number {
    return this.#size;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.writeAll([chunk]);
  }

  /** Hashed while they are on their way to the file. */
  async writeAll(chunks: readonly Uint8Array[]): Promise<void> {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const writing = writeFully(this.#file, chunks, length, this.#size);
    for (const chunk of chunks) this.#sha256.update(chunk);
    try {
      await writing;
    } catch (error) {
      throw namingFullDisk(error);
    }
    this.#size += length;
  }

  /** Takes what the file holds already as written. */
  async readBack(): Promise<void> {
    const buffer = Buffer.allocUnsafe(1024 * 1024);
    for (;;) {
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.#size);
      if (bytesRead === 0) return;
      this.#sha256.update(buffer.subarray(0, bytesRead));
      this.#size += bytesRead;
    }
  }

  /** Forgets what was written and begins again. */
  async restart(): Promise<void> {
    await this.#file.truncate(0);
    this.#sha256 = createHash('sha256');
    this.#size = 0;
  }

  /** Ends writing: what was written is on disk, and no file is open any more. */
  async seal(): Promise<void> {
    if (!this.#sealed) {
      await this.#file.datasync();
      await this.#close();
    } else if (this.#isResting && this.#committed === undefined) {
      const file = await open(this.#path, 'r+');
      try {
        await file.datasync();
      } finally {
        await file.close();
      }
    }
    this.#isResting = false;
  }

  /** Ends writing of what may turn out not to be needed: it is on disk only once it is sealed or committed. */
  async rest(): Promise<void> {
    if (this.#sealed) return;
    this.#isResting = true;
    await this.#close();
  }

  /** What was written. */
  stream(): AsyncIterable<Buffer> {
    return createReadStream(this.#committed ?? this.#path, { highWaterMark: 256 * 1024 });
  }

  /** The sha256 digest of what was written. */
  digest(): Digest {
    return `sha256:${this.#sha256.copy().digest('hex')}`;
  }

  /** What was written, when it is small. Throws `tooLarge`. */
  async read(limit: number): Promise<Buffer> {
    if (this.#size > limit) throw new WherryError('tooLarge', `a document of ${this.#size} bytes, more than ${limit}`);
    return await readFile(this.#committed ?? this.#path);
  }

  /** The first bytes, by which formats are told apart. */
  async start(): Promise<Buffer> {
    return await startOf(this.#committed ?? this.#path);
  }

  /**
   * Makes the blob stand under its digest, with `expected` only when it is that one (else `corrupt`).
   * Idempotent; afterwards disposing changes nothing. Not synced where `sync` is false: the disk's next sync is waited for
   * before something relies on it for good, and until then it is known as doubtful (`UnsettledImages`).
   */
  async commit(
    expected?: Digest,
    { sync = true }: { sync?: boolean } = {},
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    if (sync) await this.seal();
    else await this.rest();
    const digest =
      expected?.startsWith('sha512:') && this.#committed === undefined
        ? await this.#rehash()
        : (expected ?? this.digest());
    if (expected?.startsWith('sha256:') ? this.digest() !== expected : expected !== undefined && digest !== expected) {
      this.#isKept = false;
      throw new WherryError('corrupt', `failed to verify content: got ${this.digest()}, expected ${expected}`);
    }
    if (this.#committed === undefined) {
      const target = this.#target(digest);
      await mkdir(join(target, '..'), { recursive: true, mode: 0o700 });
      await rename(this.#path, target);
      this.#committed = target;
      if (!sync) this.#disk.note();
    }
    return { digest, size: this.#size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#committed !== undefined) return;
    await this.#close();
    if (!this.#isKept || this.#size === 0) await rm(this.#path, { force: true });
  }

  async #rehash(): Promise<Digest> {
    const hash = createHash('sha512');
    for await (const chunk of createReadStream(this.#path)) hash.update(chunk as Buffer);
    return `sha512:${hash.digest('hex')}`;
  }

  async #close(): Promise<void> {
    if (this.#sealed) return;
    this.#sealed = true;
    await this.#file.close();
  }
}

async function writeFully(file: FileHandle, chunks: readonly Uint8Array[], length: number, at: number): Promise<void> {
  let { bytesWritten: done } = await file.writev(chunks as Uint8Array[], at);
  if (done === length) return;
  for (const whole = Buffer.concat(chunks); done < length; ) {
    done += (await file.write(whole, done, length - done, at + done)).bytesWritten;
  }
}

async function startOf(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
