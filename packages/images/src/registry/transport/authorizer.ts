import { WherryError } from '@wherry/base';
import type { RegistryAuth } from '@wherry/runtime';
import { parseChallenge } from './challenge.ts';
import { type Dialect, tokenRefusal } from './registry-failure.ts';
import { type Connections, isLoopback, type RegistryResponse, readBody, verbOf } from './request.ts';

const largestToken = 1024 * 1024;

/**
 * The `Authorization` of one registry: nothing until it asks, then what its challenge wants
 * (distribution-spec; RFC 7617 basic; the token protocol of docker's registry, bearer). One per pull.
 */
export class Authorizer {
  readonly #connections: Connections;
  readonly #auth: RegistryAuth | undefined;
  readonly #signal: AbortSignal;
  readonly #dialect: Dialect;
  readonly #scopes = new Set<string>();
  #header: string | undefined;
  #identityToken = '';
  #wantsIdentity = false;

  constructor(
    connections: Connections,
    auth: RegistryAuth | undefined,
    signal: AbortSignal,
    dialect: Dialect = 'containerd',
  ) {
    this.#connections = connections;
    this.#dialect = dialect;
    this.#auth = auth;
    this.#signal = signal;
    this.#header = auth && 'registryToken' in auth ? `Bearer ${auth.registryToken}` : undefined;
  }

  /** The header to send now. */
  get header(): string | undefined {
    return this.#header;
  }

  /** A token that stands for the credentials from now on, if the server gave one (docker's token protocol, offline). */
  get identityToken(): string {
    return this.#identityToken;
  }

  /** Asks for an identity token with the next token, as `docker login` does. */
  wantIdentity(): void {
    this.#wantsIdentity = true;
  }

  /** Scopes to ask for beside those of a challenge, from the next token on. */
  addScopes(scopes: readonly string[]): void {
    for (const scope of scopes) this.#scopes.add(scope);
  }

  /** Answers a 401. Gives whether there is something new to try; throws `unauthorized`, `unavailable`. */
  async answer(
    challenge: string | undefined,
    refused: string | undefined,
    request: { readonly method: string; readonly url: URL },
  ): Promise<boolean> {
    // Another request of this pull was given a fresh one meanwhile.
    if (this.#header !== undefined && this.#header !== refused) return true;
    const parsed = parseChallenge(challenge ?? '');
    if (parsed?.scheme === 'basic') {
      const basic = basicHeader(this.#auth);
      if (basic === undefined || basic === refused) return false;
      this.#header = basic;
      return true;
    }
    if (parsed?.scheme !== 'bearer' || (this.#auth && 'registryToken' in this.#auth)) return false;
    const token = await this.#fetchToken(parsed.parameters, request);
    if (refused === `Bearer ${token}`) return false;
    this.#header = `Bearer ${token}`;
    return true;
  }

  async #fetchToken(
    parameters: ReadonlyMap<string, string>,
    request: { readonly method: string; readonly url: URL },
  ): Promise<string> {
    const realm = parseRealm(parameters.get('realm'));
    const anonymous = this.#auth === undefined;
    const fields: [string, string][] = [];
    for (const name of ['service', 'scope']) {
      const value = parameters.get(name);
      if (value !== undefined) fields.push([name, value]);
    }
    const asked = parameters.get('scope');
    for (const scope of asked === undefined ? [] : this.#scopes) if (scope !== asked) fields.push(['scope', scope]);
    const response = await this.#connections.send(this.#tokenRequest(realm, fields));
    const body = await readBody(response, largestToken);
    if (response.status !== 200 && this.#dialect === 'docker') throw dockerTokenError(response, body, request);
    if (response.status !== 200) {
      const what = anonymous ? 'anonymous token' : 'oauth token';
      const code = response.status === 401 || response.status === 403 ? 'unauthorized' : 'unavailable';
      throw new WherryError(
        code,
        `failed to authorize: failed to fetch ${what}: unexpected status from ${this.#verb(realm)} request to ${realm.href}: ${response.status} ${response.body.statusMessage ?? ''}`.trim(),
      );
    }
    const { token, access_token: accessToken, refresh_token: refresh } = parseToken(body);
    if (typeof refresh === 'string' && refresh.length < 65536) this.#identityToken = refresh;
    const found = token ?? accessToken;
    if (typeof found !== 'string' || found === '' || /[^\x21-\x7e]/.test(found)) {
      throw new WherryError('unauthorized', 'failed to authorize: authorization server did not include a token');
    }
    return found;
  }

  #tokenRequest(realm: URL, fields: readonly [string, string][]): Parameters<Connections['send']>[0] {
    if (this.#auth && 'identityToken' in this.#auth) {
      const form = new URLSearchParams([
        ['grant_type', 'refresh_token'],
        ['refresh_token', this.#auth.identityToken],
        ['client_id', 'wherry'],
        ...fields,
      ]);
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      return { method: 'POST', url: realm, headers, body: form.toString(), signal: this.#signal };
    }
    const url = new URL(realm);
    for (const [name, value] of fields) url.searchParams.append(name, value);
    if (this.#auth && 'username' in this.#auth) {
      url.searchParams.set('account', this.#auth.username);
      if (this.#wantsIdentity) {
        url.searchParams.set('client_id', 'docker');
        url.searchParams.set('offline_token', 'true');
      }
    }
    const basic = basicHeader(this.#auth);
    return { method: 'GET', url, headers: basic ? { Authorization: basic } : {}, signal: this.#signal };
  }

  #verb(_realm: URL): string {
    return this.#auth && 'identityToken' in this.#auth ? 'POST' : 'GET';
  }
}

/** Credentials may go to the realm, so it must be spoken to over TLS or be this machine. */
function parseRealm(text: string | undefined): URL {
  const realm = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
  if (realm?.protocol === 'https:' || (realm?.protocol === 'http:' && isLoopback(realm.hostname))) return realm;
  throw new WherryError('unauthorized', `failed to authorize: invalid token realm ${JSON.stringify(text ?? '')}`);
}

/** As dockerd tells that a token was refused: of the request that needed it. */
function dockerTokenError(
  response: RegistryResponse,
  body: Buffer,
  { method, url }: { method: string; url: URL },
): WherryError {
  const code = response.status >= 500 ? 'unavailable' : 'unauthorized';
  const words = `${verbOf(method)} ${JSON.stringify(url.href)}: ${tokenRefusal(response, body)}`;
  return new WherryError(code, words);
}

function parseToken(body: Buffer): { token?: unknown; access_token?: unknown; refresh_token?: unknown } {
  try {
    return (JSON.parse(body.toString()) ?? {}) as object;
  } catch {
    return {};
  }
}

function basicHeader(auth: RegistryAuth | undefined): string | undefined {
  if (!auth || !('username' in auth)) return undefined;
  return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
}
