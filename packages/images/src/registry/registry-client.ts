import { type Clock, sleep, WherryError } from '@wherry/base';
import { type Descriptor, type Digest, digestOf, isDigest, mediaTypes, type Reference } from '@wherry/oci';
import type { RegistryAuth } from '@wherry/runtime';
import type { Ingest } from '../content/content-store.ts';
import { Authorizer } from './authorizer.ts';
import { type Connections, isLoopback, type RegistryResponse, readBody } from './request.ts';

export const largestManifest = 4 * 1024 * 1024;
const mostRedirects = 5;
const attempts = 5;
/** Before the second attempt, in milliseconds; doubled for each further one. */
const firstBackOff = 250;

const accept = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerList,
  '*/*',
].join(', ');

/** The pull side of one repository (OCI distribution-spec 1.1). */
export class RegistryClient {
  readonly #connections: Connections;
  readonly #authorizer: Authorizer;
  readonly #base: URL;
  readonly #reference: Reference;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;

  constructor(
    reference: Reference,
    connections: Connections,
    { auth, clock, signal }: { auth: RegistryAuth | undefined; clock: Clock; signal: AbortSignal },
  ) {
    const host = reference.host === 'docker.io' ? 'registry-1.docker.io' : reference.host;
    const name = host.replace(/:\d+$/, '');
    this.#base = new URL(`${isLoopback(name) ? 'http' : 'https'}://${host}/v2/${reference.path}/`);
    this.#reference = reference;
    this.#connections = connections;
    this.#authorizer = new Authorizer(connections, auth, signal);
    this.#clock = clock;
    this.#signal = signal;
  }

  /** What the reference names now. Throws `notFound`, `unauthorized`, `unavailable`. */
  async resolve(): Promise<Descriptor> {
    const { digest, tag } = this.#reference;
    const path = `manifests/${digest ?? tag}`;
    const response = await this.#request('HEAD', path, { Accept: accept });
    response.body.resume();
    const found = response.headers['docker-content-digest'];
    const size = Number(response.headers['content-length'] ?? Number.NaN);
    if (response.status === 200 && typeof found === 'string' && isDigest(found) && Number.isSafeInteger(size)) {
      if (digest !== undefined && found !== digest) throw mismatch(found, digest);
      return { mediaType: mediaTypeOf(response), digest: found, size };
    }
    // A registry that does not answer HEAD in full: the content itself says what it is.
    if (response.status !== 200 && response.status !== 405) throw this.#failure(response, path, 'HEAD');
    const { content, mediaType } = await this.manifest(digest ?? tag!);
    return { mediaType, digest: digest ?? digestOf(content), size: content.length };
  }

  /** A manifest or index by tag or digest; by digest it is verified. */
  async manifest(which: string): Promise<{ readonly content: Buffer; readonly mediaType: string }> {
    const path = `manifests/${which}`;
    const response = await this.#request('GET', path, { Accept: accept });
    if (response.status !== 200) throw this.#failure(response, path, 'GET');
    const content = await readBody(response, largestManifest);
    if (which.startsWith('sha256:') && digestOf(content) !== which) throw mismatch(digestOf(content), which);
    return { content, mediaType: mediaTypeOf(response) };
  }

  /**
   * Downloads a blob into `ingest`, resuming where a broken connection left off, a bounded number of
   * times. The caller commits it, which verifies the digest.
   */
  async blob(descriptor: Descriptor, ingest: Ingest, onBytes: (count: number) => void): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#blobOnce(descriptor, ingest, onBytes);
        return;
      } catch (error) {
        const again = (error as { code?: unknown }).code === 'unavailable' && attempt < attempts;
        if (!again || this.#signal.aborted) throw error;
        await sleep(this.#clock, firstBackOff * 2 ** (attempt - 1), { signal: this.#signal });
      }
    }
  }

  async #blobOnce(descriptor: Descriptor, ingest: Ingest, onBytes: (count: number) => void): Promise<void> {
    const path = `blobs/${descriptor.digest}`;
    const from = ingest.size;
    const response = await this.#request('GET', path, from > 0 ? { Range: `bytes=${from}-` } : {});
    if (from > 0 && response.status === 416) await ingest.restart();
    if (response.status !== 200 && response.status !== 206) throw this.#failure(response, path, 'GET');
    const start = response.status === 206 ? /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1] : '0';
    if (Number(start) !== ingest.size) {
      await ingest.restart();
      if (response.status === 206) {
        response.body.destroy();
        throw new WherryError('unavailable', `the registry answered another range than asked for ${descriptor.digest}`);
      }
    }
    try {
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        if (ingest.size + chunk.length > descriptor.size) {
          throw new WherryError('corrupt', `blob ${descriptor.digest} is longer than ${descriptor.size} bytes`);
        }
        await ingest.write(chunk);
        onBytes(ingest.size);
      }
    } catch (error) {
      response.body.destroy();
      if (error instanceof WherryError) throw error;
      if (this.#signal.aborted) throw new WherryError('cancelled', 'context canceled', { cause: error });
      throw new WherryError('unavailable', `failed to copy: ${(error as Error).message}`, { cause: error });
    }
    if (ingest.size < descriptor.size) {
      throw new WherryError(
        'unavailable',
        `failed to copy: unexpected EOF at ${ingest.size} of ${descriptor.size} bytes`,
      );
    }
  }

  /** Sends with authorisation, answering challenges and following redirects. */
  async #request(method: 'GET' | 'HEAD', path: string, headers: Record<string, string>): Promise<RegistryResponse> {
    const url = new URL(path, this.#base);
    for (let challenges = 0; ; challenges++) {
      const authorization = this.#authorizer.header;
      const response = await this.#follow(method, url, headers, authorization);
      if (response.status !== 401 || challenges === 2) return response;
      const challenge = response.headers['www-authenticate'];
      if (!(await this.#authorizer.answer(challenge, authorization))) return response;
      response.body.resume();
    }
  }

  /** `Authorization` goes to the registry's own origin only, and TLS is never left. */
  async #follow(
    method: 'GET' | 'HEAD',
    first: URL,
    headers: Record<string, string>,
    authorization: string | undefined,
  ): Promise<RegistryResponse> {
    let url = first;
    for (let redirects = 0; ; redirects++) {
      const own = authorization !== undefined && url.origin === first.origin ? { Authorization: authorization } : {};
      const response = await this.#connections.send({
        method,
        url,
        headers: { ...headers, ...own },
        signal: this.#signal,
      });
      const { location } = response.headers;
      if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined) return response;
      response.body.resume();
      if (redirects === mostRedirects) throw new WherryError('unavailable', `stopped after ${mostRedirects} redirects`);
      if (!URL.canParse(location, url.href)) throw new WherryError('unavailable', 'the registry redirects to nowhere');
      const next = new URL(location, url);
      const allowed =
        next.protocol === 'https:' ||
        (next.protocol === 'http:' && url.protocol === 'http:' && isLoopback(next.hostname));
      if (!allowed) throw new WherryError('unavailable', `the registry redirects to ${next.origin}, which is not TLS`);
      url = next;
    }
  }

  #failure(response: RegistryResponse, path: string, method: string): WherryError {
    response.body.resume();
    const { status } = response;
    const { host, path: repository, tag, digest } = this.#reference;
    const name = `${host}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
    if (status === 404) return new WherryError('notFound', `${name}: not found`);
    if (status === 401 || status === 403) {
      const words = 'pull access denied, repository does not exist or may require authorization';
      return new WherryError(
        'unauthorized',
        `${words}: authorization failed: ${status === 401 ? 'no basic auth credentials' : '403 Forbidden'}`,
      );
    }
    const text = `unexpected status from ${method} request to ${new URL(path, this.#base).href}: ${status} ${response.body.statusMessage ?? ''}`;
    return new WherryError(status >= 500 || status === 429 || status === 416 ? 'unavailable' : 'invalid', text.trim());
  }
}

function mediaTypeOf(response: RegistryResponse): string {
  return (response.headers['content-type'] ?? '').split(';')[0]!.trim();
}

function mismatch(found: string, expected: Digest | string): WherryError {
  return new WherryError('corrupt', `failed to verify content: got ${found}, expected ${expected}`);
}
