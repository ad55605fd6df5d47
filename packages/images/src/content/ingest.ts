import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf, WherryError } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import type { DiskSync } from '../disk-sync.ts';
import type { LayerThreads } from '../threads/layer-threads.ts';
import { startOf } from './file-start.ts';
import { namingFullDisk } from './full-disk.ts';
import { gathered } from './gathered.ts';
import { GrowingFile } from './growing-file.ts';
import type { Received, ReceiveProgress } from './receive-blob.ts';
import type { WrittenBlob } from './written-blob.ts';

/** A whole stream of more bytes is hashed by a thread. */
const mostHashedHere = 1024 * 1024;

/** Where a blob goes. */
export interface IngestPlace {
  readonly target: (digest: Digest) => string;
  readonly disk: DiskSync;
  readonly threads: LayerThreads;
}

export interface ReceiveOptions {
  readonly length: number;
  /** Milliseconds that the connection may be silent. */
  readonly patience: number;
  readonly signal: AbortSignal;
  /** Told of the blob's size. */
  readonly onBytes: (size: number) => void;
}

/** A blob that is being written. One writer. */
export class Ingest implements WrittenBlob, AsyncDisposable {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #place: IngestPlace;
  readonly #abandoned = new AbortController();
  /** Of what was written so far; `undefined`: a thread has hashed it (`#hashed`), or does so when it is asked for. */
  #sha256: ReturnType<typeof createHash> | undefined = createHash('sha256');
  #hashed: Promise<Digest> | undefined;
  #size = 0;
  #sealed = false;
  /** Closed before it was synced. */
  #isResting = false;
  #committed: string | undefined;
  #growing: GrowingFile | undefined;
  /** Whether what is not committed is kept for another time. */
  #isKept: boolean;

  constructor(file: FileHandle, path: string, place: IngestPlace, isKept = false) {
    this.#place = place;
    this.#isKept = isKept;
    this.#file = file;
    this.#path = path;
  }

  get size(): number {
    return this.#size;
  }

  /** Where it is as long as it is not committed. */
  get path(): string {
    return this.#path;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.writeAll([chunk]);
  }

  /** Hashed while they are on their way to the file. */
  async writeAll(chunks: readonly Uint8Array[]): Promise<void> {
    const length = lengthOf(chunks);
    const writing = writeFully(this.#file, chunks, length, this.#size);
    for (const chunk of chunks) this.#sha256?.update(chunk);
    try {
      await writing;
    } catch (error) {
      throw this.#told(namingFullDisk(error));
    }
    this.#hashed = undefined;
    this.#grow(this.#size + length);
  }

  /**
   * Writes `length` bytes that come over a connection, by a thread; resolves with why it ended early, or `undefined` where
   * all came. `undefined` at once where no thread is free for it. Nothing else is written meanwhile.
   */
  receive(
    connection: number,
    { length, patience, signal, onBytes }: ReceiveOptions,
  ): Promise<Received['broken']> | undefined {
    const request = { connection, path: this.#path, from: this.#size, length, patience };
    const onProgress = ({ size }: ReceiveProgress): void => {
      this.#grow(size);
      onBytes(size);
    };
    const work = this.#place.threads.runWaiting('receive', request, { signal, onProgress });
    if (work === undefined) return undefined;
    this.#sha256 = undefined;
    this.#hashed = undefined;
    return work.then(
      ({ digest, broken }) => {
        this.#hashed = Promise.resolve(digest);
        return broken;
      },
      (error: unknown) => {
        throw this.#told(error);
      },
    );
  }

  /** What has filled the disk is not kept for another time. */
  #told(error: unknown): unknown {
    if (codeOf(error) === 'exhausted') this.#isKept = false;
    return error;
  }

  #grow(size: number): void {
    this.#size = size;
    this.#growing?.grow(size);
  }

  /** What is written, to be read meanwhile. It ends once it is committed as `digest`, and fails where that comes to nothing. */
  grow(digest: Digest): GrowingFile {
    const growing = new GrowingFile(this.#path, this.#place.target(digest));
    this.#growing = growing;
    growing.grow(this.#size);
    if (this.#committed !== undefined) growing.end();
    else if (this.#abandoned.signal.aborted) this.#forsake();
    return growing;
  }

  /**
   * Writes a whole stream and rests. What is long is read again by a thread that hashes it, beside whatever the caller does
   * next. Throws `tooLarge` for a layer of more than `largest` bytes.
   */
  async fill(source: AsyncIterable<Uint8Array>, largest = Number.POSITIVE_INFINITY): Promise<void> {
    for await (const chunks of gathered(source)) {
      const length = this.#size + lengthOf(chunks);
      if (length > largest) throw new WherryError('tooLarge', `a layer of more than ${largest} bytes`);
      if (length > mostHashedHere) this.#sha256 = undefined;
      await this.writeAll(chunks);
    }
    await this.rest();
    if (this.#sha256 !== undefined) return;
    this.#hashed = this.#hash('sha256');
    this.#hashed.catch(() => undefined);
  }

  /** Takes what the file holds already as written. */
  async readBack(): Promise<void> {
    const buffer = Buffer.allocUnsafe(1024 * 1024);
    for (;;) {
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.#size);
      if (bytesRead === 0) return;
      this.#sha256?.update(buffer.subarray(0, bytesRead));
      this.#size += bytesRead;
    }
  }

  /** Forgets what was written and begins again. */
  async restart(): Promise<void> {
    this.#forsake();
    await this.#file.truncate(0);
    this.#sha256 = createHash('sha256');
    this.#hashed = undefined;
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
  async digest(): Promise<Digest> {
    if (this.#sha256 !== undefined) return `sha256:${this.#sha256.copy().digest('hex')}`;
    this.#hashed ??= this.#hash('sha256');
    return await this.#hashed;
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
    const isOther = expected?.startsWith('sha512:') && this.#committed === undefined;
    const digest = isOther ? await this.#hash('sha512') : (expected ?? (await this.digest()));
    const found = expected?.startsWith('sha256:') ? await this.digest() : digest;
    if (expected !== undefined && found !== expected) {
      this.#isKept = false;
      const words = `failed to verify content: got ${await this.digest()}, expected ${expected}`;
      throw new WherryError('corrupt', words);
    }
    if (this.#committed === undefined) {
      const target = this.#place.target(digest);
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      await rename(this.#path, target);
      this.#committed = target;
      this.#growing?.end();
      if (!sync) this.#place.disk.note();
    }
    return { digest, size: this.#size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#committed !== undefined) return;
    this.#abandoned.abort();
    this.#forsake();
    await this.#close();
    if (!this.#isKept || this.#size === 0) await rm(this.#path, { force: true });
  }

  #forsake(): void {
    this.#growing?.fail(new WherryError('cancelled', 'the blob is not written to its end'));
    this.#growing = undefined;
  }

  async #hash(algorithm: 'sha256' | 'sha512'): Promise<Digest> {
    const { threads } = this.#place;
    return await threads.run('hash', { blob: this.#path, algorithm }, { signal: this.#abandoned.signal });
  }

  async #close(): Promise<void> {
    if (this.#sealed) return;
    this.#sealed = true;
    await this.#file.close();
  }
}

function lengthOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

async function writeFully(file: FileHandle, chunks: readonly Uint8Array[], length: number, at: number): Promise<void> {
  let { bytesWritten: done } = await file.writev(chunks as Uint8Array[], at);
  if (done === length) return;
  for (const whole = Buffer.concat(chunks); done < length; ) {
    done += (await file.write(whole, done, length - done, at + done)).bytesWritten;
  }
}
