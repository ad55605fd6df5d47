import { createReadStream } from 'node:fs';
import { link, mkdir, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf, syncPath, WherryError } from '@wherry/base';
import { type Digest, digestOf } from '@wherry/oci';
import type { ContentStore } from '../content/content-store.ts';
import { startOf } from '../content/file-start.ts';
import type { WrittenBlob } from '../content/written-blob.ts';
import type { DiskSync } from '../disk-sync.ts';
import type { EarlyUnpack } from '../layers/early-unpack.ts';
import type { LargeFile } from '../threads/arrival-task.ts';
import type { LayerThreads } from '../threads/layer-threads.ts';

/** Where received files go. */
export interface ReceivedFilePlace {
  readonly content: ContentStore;
  readonly threads: LayerThreads;
  readonly disk: DiskSync;
}

/** A small file of an archive. */
export class SmallFile implements WrittenBlob {
  readonly #bytes: Buffer;
  readonly #content: ContentStore;

  constructor(bytes: Uint8Array, content: ContentStore) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#content = content;
  }

  get size(): number {
    return this.#bytes.length;
  }

  async digest(): Promise<Digest> {
    return digestOf(this.#bytes);
  }

  async read(limit: number): Promise<Buffer> {
    checkSize(this.size, limit);
    return this.#bytes;
  }

  async start(): Promise<Buffer> {
    return this.#bytes.subarray(0, 8);
  }

  async *stream(): AsyncGenerator<Buffer> {
    yield this.#bytes;
  }

  async commit(
    expected?: Digest,
    options?: { readonly sync?: boolean },
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    await using ingest = await this.#content.ingest();
    await ingest.write(this.#bytes);
    return await ingest.commit(expected, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A large file of an archive, or a layer, that a thread wrote into a folder that is removed in the end. */
export class ReceivedFile implements WrittenBlob {
  readonly size: number;
  readonly early: EarlyUnpack | undefined;
  readonly #path: string;
  readonly #place: ReceivedFilePlace;
  readonly #signal: AbortSignal;
  #digest: Promise<Digest> | undefined;
  #isCommitted = false;

  /** `signal` fires when nobody is interested any more. */
  constructor(
    { path, digest }: LargeFile,
    { size, early }: { readonly size: number; readonly early: EarlyUnpack | undefined },
    place: ReceivedFilePlace,
    signal: AbortSignal,
  ) {
    this.size = size;
    this.early = early;
    this.#path = path;
    this.#place = place;
    this.#signal = signal;
    this.#digest = digest && Promise.resolve(digest);
  }

  async digest(): Promise<Digest> {
    this.#digest ??= this.#hash('sha256');
    return await this.#digest;
  }

  async read(limit: number): Promise<Buffer> {
    checkSize(this.size, limit);
    return await readFile(this.#path);
  }

  async start(): Promise<Buffer> {
    return await startOf(this.#path);
  }

  stream(): AsyncIterable<Buffer> {
    return createReadStream(this.#path, { highWaterMark: 256 * 1024 });
  }

  async commit(
    expected?: Digest,
    { sync = true }: { readonly sync?: boolean } = {},
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const digest = expected?.startsWith('sha512:') ? await this.#hash('sha512') : await this.digest();
    if (expected !== undefined && digest !== expected) {
      const words = `failed to verify content: got ${await this.digest()}, expected ${expected}`;
      throw new WherryError('corrupt', words);
    }
    if (!this.#isCommitted) {
      if (sync) await syncPath(this.#path);
      await this.#enter(this.#place.content.path(digest));
      this.#isCommitted = true;
      if (!sync) this.#place.disk.note();
    }
    return { digest, size: this.size };
  }

  /** Its folder goes as a whole. */
  async [Symbol.asyncDispose](): Promise<void> {}

  /** It keeps its name here, too: it may be unpacked from there just now. */
  async #enter(target: string): Promise<void> {
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    try {
      await link(this.#path, target);
      return;
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
    const [own, there] = await Promise.all([stat(this.#path), stat(target)]);
    // Of the same digest; a shorter one was cut off.
    if (own.ino === there.ino || own.size === there.size) return;
    const other = `${this.#path}.entered`;
    await link(this.#path, other);
    await rename(other, target);
  }

  async #hash(algorithm: 'sha256' | 'sha512'): Promise<Digest> {
    return await this.#place.threads.run('hash', { blob: this.#path, algorithm }, { signal: this.#signal });
  }
}

function checkSize(size: number, limit: number): void {
  if (size > limit) throw new WherryError('tooLarge', `a document of ${size} bytes, more than ${limit}`);
}
