import { messageOf, WherryError } from '@wherry/base';
import type { RepositoryName } from '../names.ts';
import { refusal } from '../refusal.ts';

export interface UpstreamOptions {
  /** `https://host[:port]` of a registry. */
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** Until the head of an answer, ms. */
const answerTimeout = 15_000;
const largestToken = 1024 * 1024;
const mostRemembered = 1000;

/** Requests to the registry behind a cache, with the credentials that it asks for. */
export class UpstreamClient {
  readonly #base: URL;
  readonly #basic: string | undefined;
  readonly #authorizations = new Map<string, string>();

  /** Throws `invalid`. */
  constructor({ url, username, password = '' }: UpstreamOptions) {
    const base = URL.canParse(url) ? new URL(url) : undefined;
    if (
      !base ||
      !/^https?:$/.test(base.protocol) ||
      base.pathname !== '/' ||
      base.search !== '' ||
      base.username !== ''
    )
      throw new WherryError(
        'invalid',
        `the upstream registry must be a URL such as https://registry.example, not ${JSON.stringify(url)}`,
      );
    this.#base = base;
    this.#basic =
      username === undefined ? undefined : `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  }

  /** Gives the answer with whatever status; throws UNAVAILABLE where there is none. */
  async send(
    name: RepositoryName,
    path: string,
    {
      method = 'GET',
      headers = {},
      signal,
    }: { method?: 'GET' | 'HEAD'; headers?: Record<string, string>; signal: AbortSignal },
  ): Promise<Response> {
    const url = new URL(`/v2/${name}/${path}`, this.#base);
    const first = await this.#fetch(url, method, headers, this.#authorizations.get(name), signal);
    if (first.status !== 401) return first;
    await first.body?.cancel();
    const authorization = await this.#authorize(name, first.headers.get('www-authenticate') ?? '', signal);
    if (authorization === undefined) return first;
    if (this.#authorizations.size >= mostRemembered) this.#authorizations.clear();
    this.#authorizations.set(name, authorization);
    return await this.#fetch(url, method, headers, authorization, signal);
  }

  async #fetch(
    url: URL,
    method: string,
    headers: Record<string, string>,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<Response> {
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), answerTimeout);
    const abort = (): void => timeout.abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      // As it is: what is sent compressed would not match its digest.
      const all = { 'Accept-Encoding': 'identity', ...headers, ...(authorization && { Authorization: authorization }) };
      return await fetch(url, { method, headers: all, signal: timeout.signal });
    } catch (error) {
      const why = messageOf((error as Error).cause ?? error);
      throw refusal('UNAVAILABLE', 'the upstream registry does not answer', {
        detail: { upstream: this.#base.host, why },
        cause: error,
      });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  async #authorize(name: RepositoryName, challenge: string, signal: AbortSignal): Promise<string | undefined> {
    const scheme = /^\s*(\w+)/.exec(challenge)?.[1]?.toLowerCase();
    if (scheme === 'basic') return this.#basic;
    if (scheme !== 'bearer') return undefined;
    const parameter = (wanted: string): string | undefined =>
      new RegExp(`(?:^|[\\s,])${wanted}="([^"]{0,2000})"`).exec(challenge.slice(0, 8192))?.[1];
    const text = parameter('realm') ?? '';
    if (!URL.canParse(text)) return undefined;
    const realm = new URL(text);
    // Credentials go in the clear to nobody but the registry that was named so.
    const isSafe =
      realm.protocol === 'https:' || (realm.protocol === 'http:' && realm.hostname === this.#base.hostname);
    if (!isSafe) return undefined;
    const service = parameter('service');
    if (service !== undefined) realm.searchParams.set('service', service);
    realm.searchParams.set('scope', `repository:${name}:pull`);
    const response = await this.#fetch(realm, 'GET', {}, this.#basic, signal);
    if (response.status !== 200) {
      await response.body?.cancel();
      return undefined;
    }
    const { token, access_token: other } = JSON.parse(
      (await readAll(response, largestToken)).toString('utf8'),
    ) as Record<string, unknown>;
    const found = token ?? other;
    return typeof found === 'string' && /^[\x21-\x7e]+$/.test(found) ? `Bearer ${found}` : undefined;
  }
}

/** A small body, whole. Throws UNAVAILABLE when there is more. */
export async function readAll(response: Response, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > limit) throw refusal('UNAVAILABLE', 'the upstream registry answers with too much');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
