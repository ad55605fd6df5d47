import { codeOf, messageOf, parseGoJson, WherryError } from '@wherry/base';
import type { RegistryAuth } from '@wherry/runtime';
import type { SearchResult } from '../image-library.ts';
import { endpointOf, type RegistrySettings } from './transport/endpoint.ts';
import { Connections, readBody } from './transport/request.ts';

const largestAnswer = 4 * 1024 * 1024;

interface SearchOptions {
  readonly limit?: number | undefined;
  readonly auth?: RegistryAuth | undefined;
  readonly registries: RegistrySettings;
  readonly signal: AbortSignal;
}

/** Searches a registry's index (docker's v1 API); see `ImageLibrary.search`. Errors are worded as dockerd's. */
export async function search(term: string, options: SearchOptions): Promise<SearchResult[]> {
  const limit = options.limit ?? 25;
  if (!Number.isInteger(limit) || limit < 1 || limit > 100) {
    throw new WherryError('invalid', `limit ${limit} is outside the range of [1, 100]`);
  }
  if (/^https?:\/\//.test(term)) {
    const words = `invalid repository name: repository name (${term}) should not have a scheme`;
    throw new WherryError('invalid', words);
  }
  const slash = term.indexOf('/');
  const first = term.slice(0, slash);
  const isHost = slash > 0 && (/[.:]/.test(first) || first === 'localhost');
  const host = isHost && !/^(?:index\.)?docker\.io$/.test(first) ? first : 'docker.io';
  const { bases, tls } = await endpointOf(host, options.registries);
  using connections = new Connections(tls);
  const base =
    host === 'docker.io' ? new URL('https://index.docker.io/v1/') : await pingIndex(bases, connections, options);
  const query = `search?q=${encodeURIComponent(isHost ? term.slice(slash + 1) : term)}&n=${limit}`;
  const { auth, signal } = options;
  const headers: Record<string, string> =
    auth && 'username' in auth
      ? { Authorization: `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}` }
      : {};
  try {
    const response = await connections.send({ method: 'GET', url: new URL(query, base), headers, signal });
    const body = await readBody(response, largestAnswer);
    if (response.status !== 200) throw new WherryError('internal', `Unexpected status code ${response.status}`);
    return resultsOf(body);
  } catch (error) {
    if (codeOf(error) !== 'unavailable') throw error;
    throw new WherryError('internal', messageOf(error), { cause: error });
  }
}

/** A registry of one's own: with TLS, else without where that is allowed. */
async function pingIndex(bases: readonly URL[], connections: Connections, { signal }: SearchOptions): Promise<URL> {
  const host = bases[0]!.host;
  const attempts: string[] = [];
  for (const scheme of bases.length > 1 ? ['https', 'http'] : ['https']) {
    const url = new URL(`${scheme}://${host}/v1/`);
    try {
      const response = await connections.send({ method: 'GET', url: new URL('_ping', url), headers: {}, signal });
      response.body.resume();
      return url;
    } catch (error) {
      attempts.push(messageOf(error));
    }
  }
  if (bases.length === 1) throw new WherryError('invalid', withAdvice(host, attempts[0]!));
  throw new WherryError(
    'invalid',
    `invalid registry endpoint "http://${host}/v1/". HTTPS attempt: ${attempts[0]}. HTTP attempt: ${attempts[1]}`,
  );
}

function withAdvice(host: string, failure: string): string {
  return [
    `invalid registry endpoint https://${host}/v1/: ${failure}.`,
    'If this private registry supports only HTTP or HTTPS with an unknown CA certificate,',
    `please add \`--insecure-registry ${host}\` to the daemon's arguments.`,
    "In the case of HTTPS, if you have access to the registry's CA certificate, no need for the flag;",
    `simply place the CA certificate at /etc/docker/certs.d/${host}/ca.crt`,
  ].join(' ');
}

function resultsOf(body: Buffer): SearchResult[] {
  let results: unknown;
  try {
    results = (parseGoJson(body.toString(), 'stream') as { results?: unknown } | null)?.results;
  } catch (error) {
    throw new WherryError('internal', `error decoding registry search results: ${messageOf(error)}`, { cause: error });
  }
  if (!Array.isArray(results)) return [];
  return results.flatMap((entry: Record<string, unknown> | null) => {
    if (typeof entry?.name !== 'string') return [];
    return [
      {
        name: entry.name,
        description: typeof entry.description === 'string' ? entry.description : '',
        stars: Number(entry.star_count) || 0,
        official: entry.is_official === true,
        // Docker's hub has had none since 2023, and dockerd says so of all.
        automated: false,
      },
    ];
  });
}
