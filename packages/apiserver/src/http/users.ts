import type { Http2ServerRequest } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { badRequestError, statusError } from '@wherry/api';
import type { Authenticator, Authorizer, UserInfo } from '../auth/contract.ts';
import { authoriseResource, unauthorised } from '../request/authorise.ts';
import type { Request } from './exchange.ts';

/** Subprotocol of a WebSocket that carries a bearer token instead of a header. */
export const tokenProtocol = 'base64url.bearer.authorization.k8s.io.';

/** Finds out who sends a request. A connection's certificate is looked at once. */
export class Users {
  readonly #authenticator: Authenticator;
  readonly #authorizer: Authorizer;
  readonly #ofConnection = new WeakMap<object, UserInfo>();

  constructor(authenticator: Authenticator, authorizer: Authorizer) {
    this.#authenticator = authenticator;
    this.#authorizer = authorizer;
  }

  /** The user, at once where it is known. Error 401; 403 for impersonation that is not allowed. */
  of(request: Request): UserInfo | Promise<UserInfo> {
    const { headers } = request;
    const connection = (request as Http2ServerRequest).stream?.session ?? request.socket;
    const known = this.#ofConnection.get(connection);
    if (known !== undefined && headers.authorization === undefined && !impersonates(request)) return known;
    return this.#find(request, connection, known);
  }

  async #find(request: Request, connection: object, known: UserInfo | undefined): Promise<UserInfo> {
    let user = known;
    if (user === undefined) {
      const socket = ((connection as { socket?: TLSSocket }).socket ?? request.socket) as TLSSocket;
      const shown = socket.getPeerCertificate?.();
      const named = shown !== undefined && Object.keys(shown).length > 0 ? shown : undefined;
      const bearerToken = tokenOf(request);
      // A certificate of an authority that is not ours is a bad credential, not a missing one.
      if (named !== undefined && !socket.authorized && bearerToken === undefined) throw unauthorised();
      user = await this.#authenticator.authenticate({
        certificate: socket.authorized ? named : undefined,
        bearerToken,
      });
      if (
        named !== undefined &&
        user.extra?.['authentication.kubernetes.io/credential-id'] !== undefined &&
        bearerToken === undefined
      ) {
        this.#ofConnection.set(connection, user);
      }
    }
    return this.#impersonated(request, user);
  }

  #impersonated(request: Request, user: UserInfo): UserInfo {
    const { headers } = request;
    const username = headers['impersonate-user'];
    if (username === undefined || username === '') {
      if (Object.keys(headers).some((name) => name !== 'impersonate-user' && name.startsWith('impersonate-'))) {
        throw badRequestError('requested impersonation without impersonating a user');
      }
      return user;
    }
    const groups = listOf(request, 'impersonate-group');
    const extra = extraOf(request);
    const check = (group: string, resource: string, namespace: string, name: string, subresource = ''): void =>
      authoriseResource(this.#authorizer, user, 'impersonate', {
        group,
        version: 'v1',
        resource,
        subresource,
        namespace,
        name,
      });
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(String(username));
    if (account !== null) check('', 'serviceaccounts', account[1]!, account[2]!);
    else check('', 'users', '', String(username));
    for (const group of groups) check('', 'groups', '', group);
    for (const [key, values] of Object.entries(extra)) {
      for (const value of values) check('authentication.k8s.io', 'userextras', '', value, key);
    }
    const uid = headers['impersonate-uid'] as string | undefined;
    if (uid !== undefined) check('authentication.k8s.io', 'uids', '', uid);
    return { username: String(username), groups: withImplied(String(username), groups, account), uid, extra };
  }
}

function withImplied(username: string, groups: readonly string[], account: RegExpExecArray | null): string[] {
  const all = [...groups];
  if (account !== null && groups.length === 0)
    all.push('system:serviceaccounts', `system:serviceaccounts:${account[1]}`);
  const implied = username === 'system:anonymous' ? 'system:unauthenticated' : 'system:authenticated';
  if (!all.includes(implied)) all.push(implied);
  return all;
}

function tokenOf(request: Request): string | undefined {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const space = authorization.indexOf(' ');
    if (authorization.slice(0, space).toLowerCase() === 'bearer') return authorization.slice(space + 1).trim();
    throw statusError('unauthorized', 'Unauthorized');
  }
  const protocols = request.headers['sec-websocket-protocol'];
  if (protocols === undefined) return undefined;
  const named = String(protocols)
    .split(',')
    .map((item) => item.trim())
    .find((item) => item.startsWith(tokenProtocol));
  return named === undefined ? undefined : Buffer.from(named.slice(tokenProtocol.length), 'base64url').toString('utf8');
}

/** All values of a header that may stand several times. */
function listOf(request: Request, name: string): string[] {
  const values: string[] = [];
  const { rawHeaders } = request;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    if (rawHeaders[index]!.toLowerCase() === name) values.push(rawHeaders[index + 1]!);
  }
  return values;
}

function extraOf(request: Request): Record<string, string[]> {
  const prefix = 'impersonate-extra-';
  const extra = new Map<string, string[]>();
  const { rawHeaders } = request;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (!name.startsWith(prefix)) continue;
    const key = unescaped(name.slice(prefix.length));
    const values = extra.get(key);
    if (values === undefined) extra.set(key, [rawHeaders[index + 1]!]);
    else values.push(rawHeaders[index + 1]!);
  }
  return Object.fromEntries(extra);
}

/** A key that is not escaped well is taken as it stands (apiserver's `unescapeExtraKey`). */
function unescaped(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

function impersonates({ headers }: Request): boolean {
  for (const name in headers) if (name.startsWith('impersonate-')) return true;
  return false;
}
