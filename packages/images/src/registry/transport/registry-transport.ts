import { type Clock, codeOf, sleep, WherryError } from '@wherry/base';
import type { Reference } from '@wherry/oci';
import type { RegistryAuth } from '@wherry/runtime';
import { Authorizer } from './authorizer.ts';
import type { Endpoint } from './endpoint.ts';
import { type Dialect, failureOf } from './registry-failure.ts';
import {
  Connections,
  isLoopback,
  mostRedirects,
  type RegistryMethod,
  type RegistryRequest,
  type RegistryResponse,
  type RequestBody,
  redirectOf,
  verbOf,
} from './request.ts';

const attempts = 5;
/** Before the second attempt, in milliseconds; doubled for each further one. */
const firstBackOff = 250;

export interface TransportOptions {
  readonly reference: Reference;
  readonly endpoint: Endpoint;
  readonly auth: RegistryAuth | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly dialect: Dialect;
}

type Asked = Pick<RegistryRequest, 'method' | 'headers' | 'body' | 'isLong'>;

/** Requests to one repository of a registry: connections, authorisation, redirects, retries. Dispose to close. */
export class RegistryTransport implements Disposable {
  readonly #options: TransportOptions;
  readonly #connections: Connections;
  readonly #authorizer: Authorizer;
  #base: Promise<URL> | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#connections = new Connections(options.endpoint.tls);
    const { auth, signal, dialect } = options;
    this.#authorizer = new Authorizer(this.#connections, auth, signal, dialect);
  }

  get signal(): AbortSignal {
    return this.#options.signal;
  }

  /** Whether credentials or a token go with requests. */
  get isAuthorized(): boolean {
    return this.#authorizer.header !== undefined;
  }

  /** Asks for access to further repositories, too (`repository:a/b:pull`), when a token is fetched. */
  addScopes(scopes: readonly string[]): void {
    this.#authorizer.addScopes(scopes);
  }

  /** The base of the API. dockerd asks for it first; where there are several, those that do not answer are passed over. */
  async base(): Promise<URL> {
    const { endpoint, dialect } = this.#options;
    this.#base ??= dialect === 'docker' ? this.#connect() : Promise.resolve(endpoint.bases[0]!);
    return await this.#base;
  }

  /** Sends with authorisation, answering challenges and following redirects. `path` is below the repository. */
  async request(
    method: RegistryMethod,
    path: string | URL,
    headers: Record<string, string> = {},
    body?: RequestBody,
  ): Promise<RegistryResponse> {
    return await this.#authorized(path, { method, headers, body });
  }

  /** As `request` of what is long: its body may be taken over. */
  async download(path: string, headers: Record<string, string>): Promise<RegistryResponse> {
    return await this.#authorized(path, { method: 'GET', headers, isLong: true });
  }

  async #authorized(path: string | URL, asked: Asked): Promise<RegistryResponse> {
    const { method } = asked;
    const url = await this.#url(path);
    for (let challenges = 0; ; challenges++) {
      const authorization = this.#authorizer.header;
      const response = await this.#follow(url, asked, authorization);
      if (response.status !== 401 || challenges === 2) return response;
      const challenge = response.headers['www-authenticate'];
      if (!(await this.#authorizer.answer(challenge, authorization, { method, url }))) return response;
      response.body.resume();
    }
  }

  /** The error that an answer means; its body is read. */
  async failure(response: RegistryResponse, method: RegistryMethod, path: string | URL): Promise<WherryError> {
    const { reference, dialect } = this.#options;
    const url = await this.#url(path);
    return await failureOf({ response, method, url, reference, isAuthorized: this.isAuthorized }, dialect);
  }

  /** Tries again a bounded number of times, waiting longer each time, while the registry does not answer well. */
  async retried<T>(work: () => Promise<T>): Promise<T> {
    const { clock, signal } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (codeOf(error) !== 'unavailable' || attempt === attempts || signal.aborted) throw error;
        await sleep(clock, firstBackOff * 2 ** (attempt - 1), { signal });
      }
    }
  }

  [Symbol.dispose](): void {
    this.#connections[Symbol.dispose]();
  }

  async #connect(): Promise<URL> {
    const { endpoint, signal } = this.#options;
    let failed: unknown;
    for (const url of endpoint.bases) {
      try {
        const response = await this.#connections.send({ method: 'GET', url, headers: {}, signal });
        response.body.resume();
        // Go's and other servers say 400 to a request without TLS.
        if (response.status !== 400 || url.protocol !== 'http:' || endpoint.bases.length === 1) return url;
      } catch (error) {
        failed ??= error;
      }
    }
    throw failed ?? new WherryError('unavailable', `no registry answers at ${endpoint.bases[0]!.host}`);
  }

  async #url(path: string | URL): Promise<URL> {
    return path instanceof URL ? path : new URL(`${this.#options.reference.path}/${path}`, await this.base());
  }

  /** `Authorization` goes to the registry's own origin only, and TLS is never left. */
  async #follow(first: URL, asked: Asked, authorization: string | undefined): Promise<RegistryResponse> {
    const { method } = asked;
    const { origin } = await this.base();
    let url = first;
    for (let redirects = 0; ; redirects++) {
      const own = authorization !== undefined && url.origin === origin ? { Authorization: authorization } : {};
      const headers = { ...asked.headers, ...own };
      const response = await this.#connections.send({ ...asked, url, headers, signal: this.#options.signal });
      const location = redirectOf(response);
      if (location === undefined || (method !== 'GET' && method !== 'HEAD')) return response;
      response.body.resume();
      if (redirects === mostRedirects) {
        const request = `${verbOf(method)} ${JSON.stringify(location)}`;
        throw new WherryError('invalid', `${request}: stopped after ${mostRedirects} redirects`);
      }
      url = allowedTarget(location, url);
    }
  }
}

/** Where an answer leads: over TLS, or on this machine when it came without TLS itself. Throws `unavailable`. */
export function allowedTarget(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) throw new WherryError('unavailable', 'the registry redirects to nowhere');
  const next = new URL(location, from);
  const isPlain = next.protocol === 'http:' && from.protocol === 'http:';
  if (next.protocol === 'https:' || (isPlain && (isLoopback(next.hostname) || next.origin === from.origin)))
    return next;
  throw new WherryError('unavailable', `the registry redirects to ${next.origin}, which is not TLS`);
}
