import { type Clock, codeOf, messageOf, WherryError } from '@wherry/base';
import type { RegistryAuth } from '@wherry/runtime';
import { Authorizer } from './transport/authorizer.ts';
import { endpointOf, type RegistrySettings } from './transport/endpoint.ts';
import { Connections } from './transport/request.ts';

interface LoginOptions {
  readonly registries: RegistrySettings;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Checks credentials; see `ImageLibrary.login`. Errors are worded as dockerd's. */
export async function login(
  server: string,
  auth: RegistryAuth,
  { registries, signal }: LoginOptions,
): Promise<{ readonly status: string; readonly identityToken: string }> {
  const host = hostOf(server);
  const { bases, tls } = await endpointOf(host, registries);
  using connections = new Connections(tls);
  let failed: unknown;
  for (const url of bases) {
    try {
      return await tryLogin(url, auth, connections, signal, bases.length > 1);
    } catch (error) {
      failed ??= error;
      // An answer is an answer: only where none came the next way is tried.
      if (codeOf(error) !== 'unavailable') break;
    }
  }
  const code = codeOf(failed);
  throw new WherryError(code === 'cancelled' ? code : 'internal', messageOf(failed), { cause: failed });
}

async function tryLogin(
  url: URL,
  auth: RegistryAuth,
  connections: Connections,
  signal: AbortSignal,
  hasOther: boolean,
): Promise<{ readonly status: string; readonly identityToken: string }> {
  const authorizer = new Authorizer(connections, auth, signal, 'docker');
  authorizer.wantIdentity();
  for (;;) {
    const header = authorizer.header;
    const headers: Record<string, string> = header === undefined ? {} : { Authorization: header };
    const response = await connections.send({ method: 'GET', url, headers, signal });
    response.body.resume();
    const { status, headers: answered } = response;
    if (status === 200) return { status: 'Login Succeeded', identityToken: authorizer.identityToken };
    if (status === 400 && url.protocol === 'http:' && hasOther) {
      throw new WherryError('unavailable', 'http: server gave HTTPS response to HTTP client');
    }
    const challenge = answered['www-authenticate'];
    if (status === 401 && (await authorizer.answer(challenge, header, { method: 'GET', url }))) continue;
    throw new WherryError(
      'unauthorized',
      `login attempt to ${url.href} failed with status: ${status} ${response.body.statusMessage ?? ''}`.trim(),
    );
  }
}

/** `https://index.docker.io/v1/`, docker's own name for its hub, `registry.lan:5000`, or a URL. */
function hostOf(server: string): string {
  const host = server.replace(/^https?:\/\//, '').split('/')[0]!;
  if (['', 'index.docker.io', 'docker.io', 'registry-1.docker.io'].includes(host)) return 'docker.io';
  if (!/^[A-Za-z0-9.-]+(?::\d{1,5})?$|^\[[0-9a-fA-F:]+\](?::\d{1,5})?$/.test(host)) {
    const character = /[^\w.:[\]-]/.exec(host)?.[0];
    const why =
      character === undefined
        ? 'invalid port after host'
        : `invalid character ${JSON.stringify(character)} in host name`;
    const address = JSON.stringify(`https://${server.slice(0, 200)}`);
    throw new WherryError('invalid', `unable to parse server address: parse ${address}: ${why}`);
  }
  return host;
}
