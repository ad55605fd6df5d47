import { parseGoJson, WherryError } from '@wherry/base';
import { endReceivingOn } from '@wherry/linux';
import { type Descriptor, digestOf, isDigest, mediaTypes, type Reference } from '@wherry/oci';
import { gathered } from '../content/gathered.ts';
import type { Ingest } from '../content/ingest.ts';
import { allowedTarget, RegistryTransport, type TransportOptions } from './transport/registry-transport.ts';
import { brokenReason, idleTimeout, type RegistryResponse, readBody } from './transport/request.ts';

export const largestManifest = 4 * 1024 * 1024;
const largestTagList = 4 * 1024 * 1024;
const mostTags = 10_000;
/** Bytes of a blob below which it is here before a thread has begun with it. */
export const leastForThread = 2 * 1024 * 1024;

const accept = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerList,
  '*/*',
].join(', ');

/** The pull side of one repository (OCI distribution-spec 1.1). */
export class RegistryClient implements Disposable {
  readonly transport: RegistryTransport;
  readonly #reference: Reference;
  readonly #isDocker: boolean;

  constructor(options: TransportOptions) {
    this.transport = new RegistryTransport(options);
    this.#reference = options.reference;
    this.#isDocker = options.dialect === 'docker';
  }

  /** What the reference names now. Throws `notFound`, `unauthorized`, `unavailable`. */
  async resolve(): Promise<Descriptor> {
    const { digest, tag } = this.#reference;
    // dockerd asks for the content at once where the digest is known.
    if (digest !== undefined && this.#isDocker) {
      const { content, mediaType } = await this.manifest(digest);
      return { mediaType, digest, size: content.length };
    }
    const path = `manifests/${digest ?? tag}`;
    const response = await this.transport.request('HEAD', path, { Accept: accept });
    const found = response.headers['docker-content-digest'];
    const size = Number(response.headers['content-length'] ?? Number.NaN);
    if (response.status === 200 && typeof found === 'string' && isDigest(found) && Number.isSafeInteger(size)) {
      response.body.resume();
      if (digest !== undefined && found !== digest) throw mismatch(found, digest);
      return { mediaType: mediaTypeOf(response), digest: found, size };
    }
    // A registry that does not answer HEAD in full: the content itself says what it is. An error has its words there.
    const isRefused = response.status === 401 && isBasic(response) && !this.transport.isAuthorized;
    if ((isRefused && this.#isDocker) || (response.status !== 200 && response.status !== 405 && !this.#isDocker)) {
      throw await this.transport.failure(response, 'HEAD', path);
    }
    response.body.resume();
    const { content, mediaType } = await this.manifest(digest ?? tag!);
    return { mediaType, digest: digest ?? digestOf(content), size: content.length };
  }

  /** A manifest or index by tag or digest; by digest it is verified. */
  async manifest(which: string): Promise<{ readonly content: Buffer; readonly mediaType: string }> {
    const path = `manifests/${which}`;
    return await this.transport.retried(async () => {
      const response = await this.transport.request('GET', path, { Accept: accept });
      if (response.status !== 200) throw await this.transport.failure(response, 'GET', path);
      const content = await readBody(response, largestManifest);
      if (which.startsWith('sha256:') && digestOf(content) !== which) throw mismatch(digestOf(content), which);
      return { content, mediaType: mediaTypeOf(response) };
    });
  }

  /** A small blob, whole and verified. */
  async smallBlob(digest: string): Promise<Buffer> {
    const path = `blobs/${digest}`;
    return await this.transport.retried(async () => {
      const response = await this.transport.request('GET', path);
      if (response.status !== 200) throw await this.transport.failure(response, 'GET', path);
      const content = await readBody(response, largestManifest);
      if (digestOf(content) !== digest) throw mismatch(digestOf(content), digest);
      return content;
    });
  }

  /** All tags, in the registry's order. */
  async tags(): Promise<string[]> {
    const tags: string[] = [];
    let next: string | URL = 'tags/list';
    for (;;) {
      const response = await this.transport.request('GET', next);
      if (response.status !== 200) throw await this.transport.failure(response, 'GET', next);
      tags.push(...tagsOf(await readBody(response, largestTagList)));
      const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(response.headers.link ?? ''))?.[1];
      if (link === undefined || tags.length > mostTags) return tags.slice(0, mostTags);
      const base: URL = await this.transport.base();
      const following: URL = allowedTarget(link, new URL(`${this.#reference.path}/tags/list`, base));
      if (following.origin !== base.origin || following.href === String(next)) return tags;
      next = following;
    }
  }

  /**
   * Downloads a blob into `ingest`, resuming where a broken connection left off, a bounded number of
   * times. The caller commits it, which verifies the digest.
   */
  async blob(descriptor: Descriptor, ingest: Ingest, onBytes: (count: number) => void): Promise<void> {
    if (ingest.size > descriptor.size) await ingest.restart();
    if (ingest.size === descriptor.size && ingest.size > 0) return;
    await this.transport.retried(() => this.#blobOnce(descriptor, ingest, onBytes));
  }

  async #blobOnce(descriptor: Descriptor, ingest: Ingest, onBytes: (count: number) => void): Promise<void> {
    const path = `blobs/${descriptor.digest}`;
    const from = ingest.size;
    const range = from > 0 ? { Range: `bytes=${from}-` } : undefined;
    const response = await (descriptor.size - from < leastForThread
      ? this.transport.request('GET', path, range)
      : this.transport.download(path, range ?? {}));
    if (from > 0 && response.status === 416) await ingest.restart();
    if (response.status === 416) {
      response.body.resume();
      throw new WherryError('unavailable', `the registry has no bytes after ${from} of ${descriptor.digest}`);
    }
    if (response.status === 404 && this.#isDocker) {
      response.body.resume();
      throw new WherryError('notFound', 'unknown blob');
    }
    if (response.status !== 200 && response.status !== 206) throw await this.transport.failure(response, 'GET', path);
    const start = response.status === 206 ? /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1] : '0';
    if (Number(start) !== ingest.size) {
      await ingest.restart();
      if (response.status === 206) {
        response.body.destroy();
        throw new WherryError('unavailable', `the registry answered another range than asked for ${descriptor.digest}`);
      }
    }
    try {
      if (!(await this.#receive(response, descriptor, ingest, onBytes))) {
        await writeBody(response.body, descriptor, ingest, onBytes);
      }
    } catch (error) {
      response.body.destroy();
      if (error instanceof WherryError) throw error;
      if (this.transport.signal.aborted) throw new WherryError('cancelled', 'context canceled', { cause: error });
      throw this.#cut(brokenReason(error), error);
    }
    if (ingest.size < descriptor.size)
      throw this.#cut(`unexpected EOF at ${ingest.size} of ${descriptor.size} bytes`, undefined);
  }

  /** Leaves the body to a thread, where connection and answer allow that and one is free; false where what follows is to be read here. */
  async #receive(
    response: RegistryResponse,
    { size }: Descriptor,
    ingest: Ingest,
    onBytes: (count: number) => void,
  ): Promise<boolean> {
    // What is shorter or longer than it should be is told of where it is read here.
    if (!response.takeOver || response.headers['content-length'] !== String(size - ingest.size)) return false;
    using taken = await response.takeOver();
    if (taken === undefined) return false;
    if (taken.read.length > 0) await ingest.writeAll(taken.read);
    const { signal } = this.transport;
    const length = size - ingest.size;
    const work = ingest.receive(taken.descriptor, { length, patience: idleTimeout, signal, onBytes });
    if (work === undefined) {
      taken.giveBack();
      return false;
    }
    // The thread waits for long where little comes.
    using _ending = endReceivingOn(signal, taken.descriptor);
    const broken = await work;
    response.body.destroy();
    if (signal.aborted) throw new WherryError('cancelled', 'context canceled');
    if (broken) throw this.#cut(broken, undefined);
    return true;
  }

  #cut(why: string, cause: unknown): WherryError {
    return new WherryError('unavailable', this.#isDocker ? why : `failed to copy: ${why}`, { cause });
  }

  [Symbol.dispose](): void {
    this.transport[Symbol.dispose]();
  }
}

/** Writes what comes, as far as it should. Throws `corrupt` where more comes. */
async function writeBody(
  body: AsyncIterable<Uint8Array>,
  { digest, size }: Descriptor,
  ingest: Ingest,
  onBytes: (count: number) => void,
): Promise<void> {
  for await (const chunks of gathered(body)) {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (ingest.size + length > size) throw new WherryError('corrupt', `blob ${digest} is longer than ${size} bytes`);
    await ingest.writeAll(chunks);
    onBytes(ingest.size);
  }
}

function isBasic({ headers }: RegistryResponse): boolean {
  return /^\s*basic\b/i.test(String(headers['www-authenticate'] ?? ''));
}

function tagsOf(body: Buffer): string[] {
  const { tags } = (parseGoJson(body.toString(), 'document') ?? {}) as { tags?: unknown };
  return Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === 'string') : [];
}

function mediaTypeOf(response: RegistryResponse): string {
  return (response.headers['content-type'] ?? '').split(';')[0]!.trim();
}

function mismatch(found: string, expected: string): WherryError {
  return new WherryError('corrupt', `failed to verify content: got ${found}, expected ${expected}`);
}
