import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Random, WherryError } from '@wherry/base';
import { algorithmOf, type Digest, hexOf } from '@wherry/oci';
import type { RepositoryName } from '../names.ts';
import { refusal } from '../refusal.ts';
import { EarlySync } from './early-sync.ts';
import { type AtomicFiles, isMissing, namesIn, readText } from './files.ts';

const idPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Bytes gathered for one write. */
const batch = 1024 * 1024;

export interface UploadsOptions {
  readonly folder: string;
  readonly files: AtomicFiles;
  readonly clock: Clock;
  readonly random: Random;
  /** At once, in all repositories. */
  readonly most: number;
  /** Without a byte for so long, an upload is given up, ms. */
  readonly lifetime: number;
}

/**
 * Blobs on their way in: `<id>.json` says whose it is, `<id>.data` holds what came. They outlive the process;
 * the running hash does not, so what an earlier process received is read again when it ends.
 */
export class Uploads {
  readonly #options: UploadsOptions;
  readonly #live = new Map<string, Upload>();
  readonly #ids = new Set<string>();
  /** Those whose files are being made. */
  readonly #beginning = new Set<string>();

  constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /** How many there are. */
  get count(): number {
    return this.#ids.size;
  }

  /** Bytes that arrived in uploads of this process. */
  get bytes(): number {
    let sum = 0;
    for (const upload of this.#live.values()) sum += upload.offset;
    return sum;
  }

  async open(): Promise<void> {
    await mkdir(this.#options.folder, { recursive: true, mode: 0o700 });
    for await (const file of namesIn(this.#options.folder)) {
      const id = file.slice(0, 36);
      if (idPattern.test(id)) this.#ids.add(id);
    }
    await this.expire();
  }

  /** Begins an upload. Throws TOOMANYREQUESTS. */
  async begin(repository: RepositoryName, algorithm: 'sha256' | 'sha512' = 'sha256'): Promise<Upload> {
    const { most, random, files, clock } = this.#options;
    if (this.#ids.size >= most)
      throw refusal('TOOMANYREQUESTS', `more than ${most} uploads are open; finish or cancel some`, {
        headers: { 'Retry-After': '60' },
      });
    const id = random.uuid();
    this.#ids.add(id);
    this.#beginning.add(id);
    try {
      const state = { version: 1, repository, startedAt: clock.now() };
      // A client begins again after a power cut; after the end of the process it goes on.
      await files.write(this.#path(id, 'json'), `${JSON.stringify(state)}\n`, { sync: false });
      await (await open(this.#path(id, 'data'), 'wx', 0o600)).close();
    } catch (error) {
      this.#beginning.delete(id);
      await this.#remove(id);
      throw error;
    }
    const upload = new Upload(id, repository, this.#path(id, 'data'), 0, createHash(algorithm), algorithm);
    await upload.touch(clock.now());
    this.#live.set(id, upload);
    this.#beginning.delete(id);
    return upload;
  }

  /** An upload of this repository. Throws BLOB_UPLOAD_UNKNOWN. */
  async find(repository: RepositoryName, id: string): Promise<Upload> {
    const upload = idPattern.test(id) ? (this.#live.get(id) ?? (await this.#revive(id))) : undefined;
    if (upload === undefined || upload.repository !== repository)
      throw refusal('BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry');
    return upload;
  }

  /** Ends an upload and forgets its bytes. */
  async cancel(upload: Upload): Promise<void> {
    await upload.exclusively(() => this.#remove(upload.id));
  }

  /** As `cancel`, by whoever works on the upload now. */
  async drop(upload: Upload): Promise<void> {
    await this.#remove(upload.id);
  }

  /** Gives up what saw no byte for too long; gives how many those were. */
  async expire(): Promise<number> {
    const oldest = this.#options.clock.now() - this.#options.lifetime;
    let ended = 0;
    for (const id of [...this.#ids]) {
      const live = this.#live.get(id);
      if (live?.busy || this.#beginning.has(id)) continue;
      const touched = (await modified(this.#path(id, 'data'))) ?? (await modified(this.#path(id, 'json'))) ?? 0;
      if (touched >= oldest || this.#live.get(id)?.busy) continue;
      await this.#remove(id);
      ended++;
    }
    return ended;
  }

  async #revive(id: string): Promise<Upload | undefined> {
    if (!this.#ids.has(id)) return undefined;
    const text = await readText(this.#path(id, 'json'));
    if (text === undefined) return undefined;
    const repository = repositoryOf(text);
    if (repository === undefined) return undefined;
    const path = this.#path(id, 'data');
    const size = await stat(path).then(
      ({ size }) => size,
      () => undefined,
    );
    if (size === undefined) return undefined;
    // Another request revived it meanwhile: there is one object for an upload.
    const other = this.#live.get(id);
    if (other) return other;
    const upload = new Upload(id, repository, path, size, undefined, 'sha256');
    this.#live.set(id, upload);
    return upload;
  }

  async #remove(id: string): Promise<void> {
    this.#live.delete(id);
    await rm(this.#path(id, 'data'), { force: true });
    await rm(this.#path(id, 'json'), { force: true });
    this.#ids.delete(id);
  }

  #path(id: string, kind: 'json' | 'data'): string {
    return join(this.#options.folder, `${id}.${kind}`);
  }
}

/** One blob on its way in. `exclusively` lets one request at a time work on it: the latest. */
export class Upload {
  readonly id: string;
  readonly repository: RepositoryName;
  readonly path: string;
  #offset: number;
  #hash: Hash | undefined;
  readonly #algorithm: 'sha256' | 'sha512';
  readonly #sync = new EarlySync();
  #running: Promise<unknown> | undefined;
  #interrupt: AbortController | undefined;

  constructor(
    id: string,
    repository: RepositoryName,
    path: string,
    offset: number,
    hash: Hash | undefined,
    algorithm: 'sha256' | 'sha512',
  ) {
    this.id = id;
    this.repository = repository;
    this.path = path;
    this.#offset = offset;
    this.#hash = hash;
    this.#algorithm = algorithm;
  }

  /** Bytes that are here. */
  get offset(): number {
    return this.#offset;
  }

  get busy(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Runs `work` when whoever worked on it has stopped: a client that comes again has given its last request up,
   * though the server may not have noticed, so that one is interrupted.
   */
  async exclusively<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    while (this.#running !== undefined) {
      this.#interrupt?.abort();
      await this.#running.catch(() => undefined);
    }
    const interrupt = new AbortController();
    this.#interrupt = interrupt;
    const running = work(interrupt.signal);
    this.#running = running;
    try {
      return await running;
    } finally {
      this.#running = undefined;
    }
  }

  /** Adds what comes, as far as it comes. `check` is told the size before it grows and may throw; `grown` is called after. */
  async append(
    chunks: AsyncIterable<Uint8Array>,
    check: (size: number) => void,
    signal: AbortSignal,
    grown?: () => void,
  ): Promise<void> {
    const file = await open(this.path, 'r+');
    let gathered: Uint8Array[] = [];
    let size = 0;
    const flush = async (): Promise<void> => {
      const parts = gathered;
      gathered = [];
      const bytes = size;
      size = 0;
      if (bytes === 0) return;
      // The hash is taken while the write is under way.
      const written = writeAll(file, parts, bytes, this.#offset);
      for (const part of parts) this.#hash?.update(part);
      try {
        await written;
      } catch (error) {
        this.#hash = undefined;
        await file.truncate(this.#offset).catch(() => undefined);
        throw error;
      }
      this.#offset += bytes;
      grown?.();
      this.#sync.written(file, bytes);
    };
    try {
      for await (const chunk of chunks) {
        if (signal.aborted) throw new WherryError('cancelled', 'another request goes on with this upload');
        check(this.#offset + size + chunk.length);
        gathered.push(chunk);
        size += chunk.length;
        if (size >= batch) await flush();
      }
    } finally {
      try {
        await flush();
        await this.#sync.rest();
      } finally {
        await file.close();
      }
    }
  }

  /** Everything is on disk, and its digest is this one. Gives the size; throws DIGEST_INVALID. */
  async verify(digest: Digest): Promise<number> {
    const file = await open(this.path, 'r+');
    try {
      const synced = Promise.all([this.#sync.rest(), file.datasync()]);
      synced.catch(() => undefined);
      const hex =
        this.#hash !== undefined && this.#algorithm === algorithmOf(digest)
          ? this.#hash.copy().digest('hex')
          : await hashFile(this.path, algorithmOf(digest));
      await synced;
      if (hex !== hexOf(digest))
        throw refusal('DIGEST_INVALID', 'provided digest did not match uploaded content', {
          detail: `${algorithmOf(digest)}:${hex} was received for ${digest}`,
        });
      return this.#offset;
    } finally {
      await file.close();
    }
  }

  /** Says that the upload is alive. */
  async touch(at: number): Promise<void> {
    await utimes(this.path, at / 1000, at / 1000).catch(() => undefined);
  }
}

/** Of an upload's state; `undefined` for one that a power cut left without content. */
function repositoryOf(state: string): RepositoryName | undefined {
  try {
    return (JSON.parse(state) as { readonly repository: RepositoryName }).repository;
  } catch {
    return undefined;
  }
}

async function writeAll(
  file: Awaited<ReturnType<typeof open>>,
  parts: readonly Uint8Array[],
  bytes: number,
  at: number,
): Promise<void> {
  const { bytesWritten } = await file.writev(parts as Uint8Array[], at);
  if (bytesWritten === bytes) return;
  const rest = Buffer.concat(parts).subarray(bytesWritten);
  for (let done = 0; done < rest.length; ) {
    const written = await file.write(rest, done, rest.length - done, at + bytesWritten + done);
    done += written.bytesWritten;
  }
}

async function hashFile(path: string, algorithm: string): Promise<string> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function modified(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
