import { type FileHandle, open } from 'node:fs/promises';
import { type Deferred, deferred, type Logger, messageOf } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import type { RepositoryName } from '../names.ts';
import { refusal } from '../refusal.ts';
import type { Contents } from '../storage/contents.ts';
import type { BlobBytes } from '../storage/opened-blob.ts';
import type { Upload } from '../storage/uploads.ts';
import type { UpstreamClient } from './upstream-client.ts';

/** Times that a broken transfer is gone on with. */
const attempts = 4;

/**
 * One blob on its way here, however many wait for it: it is written as an upload, and its readers follow the
 * file. They get the last byte when the whole is verified, so that nobody takes a forged blob for a good one.
 */
export class Download {
  readonly size: number;
  readonly #done = deferred();
  readonly #upload: Upload;
  readonly #abort: AbortController;
  #state: 'running' | 'stored' | 'failed' = 'running';
  #waiting: Deferred<void>[] = [];

  private constructor(upload: Upload, size: number, abort: AbortController) {
    this.#upload = upload;
    this.size = size;
    this.#abort = abort;
    this.#done.promise.catch(() => undefined);
  }

  /** Resolves when the blob is stored; rejects when it could not be had. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** Asks upstream. `undefined` where it has no such blob. */
  static async start(
    contents: Contents,
    client: UpstreamClient,
    name: RepositoryName,
    digest: Digest,
    log: Logger,
  ): Promise<Download | undefined> {
    const abort = new AbortController();
    const response = await client.send(name, `blobs/${digest}`, { signal: abort.signal });
    const length = response.headers.get('content-length');
    if (response.status !== 200 || length === null) {
      await response.body?.cancel();
      if ([401, 403, 404].includes(response.status)) return undefined;
      throw refusal('UNAVAILABLE', `the upstream registry answers with status ${response.status}`);
    }
    const upload = await contents.uploads.begin(name, digest.startsWith('sha512:') ? 'sha512' : 'sha256');
    const download = new Download(upload, Number(length), abort);
    download.#run(contents, client, name, digest, response).then(download.#done.resolve, (error: unknown) => {
      log.warn('blob not fetched', { repository: name, digest, error: messageOf(error) });
      download.#done.reject(error);
    });
    return download;
  }

  /** The bytes as they come; the caller closes it. */
  async open(): Promise<BlobBytes> {
    return new DownloadReader(this, await open(this.#upload.path, 'r'));
  }

  /** Resolves when `position` can be read, with the place up to which everything can. Throws when it never will. */
  async readable(position: number): Promise<number> {
    for (;;) {
      if (this.#state === 'failed') throw refusal('UNAVAILABLE', 'the blob could not be fetched from upstream');
      const until = this.#state === 'stored' ? this.size : Math.min(this.#upload.offset, this.size - 1);
      if (position < until || this.#state === 'stored') return until;
      const grown = deferred();
      this.#waiting.push(grown);
      await grown.promise;
    }
  }

  cancel(): void {
    this.#abort.abort();
  }

  async #run(
    contents: Contents,
    client: UpstreamClient,
    name: RepositoryName,
    digest: Digest,
    first: Response,
  ): Promise<void> {
    try {
      await this.#upload.exclusively(async (signal) => {
        const check = await contents.quotaCheck(name);
        let response = first;
        for (let attempt = 1; ; attempt++) {
          try {
            await this.#upload.append(this.#rest(response), check, signal, () => this.#wake());
            if (this.#upload.offset >= this.size) break;
            throw refusal('UNAVAILABLE', 'the upstream registry ended early');
          } catch (error) {
            if (attempt === attempts || this.#abort.signal.aborted) throw error;
          }
          const headers = { Range: `bytes=${this.#upload.offset}-` };
          response = await client.send(name, `blobs/${digest}`, { headers, signal: this.#abort.signal });
          if (response.status !== 206 && response.status !== 200)
            throw refusal('UNAVAILABLE', `the upstream registry answers with status ${response.status}`);
        }
        await contents.commit(this.#upload, digest);
      });
      this.#state = 'stored';
    } catch (error) {
      this.#state = 'failed';
      await contents.uploads.drop(this.#upload);
      throw error;
    } finally {
      this.#wake();
    }
  }

  /** What is missing still; never more than the blob has. */
  async *#rest(response: Response): AsyncGenerator<Uint8Array> {
    // Where upstream knows no ranges it begins again.
    let skip = response.status === 200 ? this.#upload.offset : 0;
    let left = this.size - this.#upload.offset;
    for await (let chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      if (this.#abort.signal.aborted) throw refusal('UNAVAILABLE', 'the registry stops');
      const skipped = Math.min(skip, chunk.length);
      skip -= skipped;
      chunk = chunk.subarray(skipped);
      if (chunk.length === 0) continue;
      left -= chunk.length;
      if (left < 0) throw refusal('UNAVAILABLE', 'the upstream registry sends more than it said');
      yield chunk;
    }
  }

  #wake(): void {
    for (const waiting of this.#waiting.splice(0)) waiting.resolve();
  }
}

class DownloadReader implements BlobBytes {
  readonly size: number;
  readonly #download: Download;
  readonly #file: FileHandle;

  constructor(download: Download, file: FileHandle) {
    this.#download = download;
    this.#file = file;
    this.size = download.size;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const until = await this.#download.readable(position);
    const length = Math.min(buffer.length, until - position);
    return length <= 0 ? 0 : (await this.#file.read(buffer, 0, length, position)).bytesRead;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
