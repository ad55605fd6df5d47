import type { IncomingHttpHeaders } from 'node:http';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { cancelled, WherryError } from '@wherry/base';
import {
  brokenReason,
  Connections,
  mostRedirects,
  networkReason,
  type RegistryResponse,
  redirectOf,
} from './transport/request.ts';

/** What stands at an address. */
export interface FetchedAddress {
  readonly status: number;
  readonly statusText: string;
  /** It is what was asked for, not words about it. */
  readonly ok: boolean;
  readonly headers: IncomingHttpHeaders;
  /** Must be read to its end or left. Throws `unavailable`, `cancelled`. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** How long a server may be silent, in milliseconds: some make what they are asked for. */
const patience = 300_000;
/** Bytes of a server's answer that are repeated. */
const longestAnswer = 4096;

/**
 * Fetches an address that a person named (`http://…`, `https://…`), redirects followed, whatever status it has. Throws
 * `unavailable` in the words of Go's client, `cancelled`.
 */
export async function fetchAddress(address: string, signal: AbortSignal): Promise<FetchedAddress> {
  const connections = new Connections();
  try {
    const response = await follow(connections, address, signal);
    const { status, headers, body } = response;
    body.once('close', () => connections[Symbol.dispose]());
    const ok = status >= 200 && status < 300;
    return { status, statusText: body.statusMessage ?? '', ok, headers, body: contentOf(response, signal) };
  } catch (error) {
    connections[Symbol.dispose]();
    throw error;
  }
}

/** What a server says of a failure, cut short. */
export async function startOfAnswer({ body }: Pick<FetchedAddress, 'body'>): Promise<string> {
  let said = Buffer.alloc(0);
  for await (const chunk of body) {
    said = Buffer.concat([said, chunk]);
    if (said.length >= longestAnswer) break;
  }
  return said.subarray(0, longestAnswer).toString().trim();
}

async function follow(connections: Connections, first: string, signal: AbortSignal): Promise<RegistryResponse> {
  let address = first;
  for (let redirects = 0; ; redirects++) {
    const wrong = problemOf(address);
    if (wrong !== undefined) throw failed(address, wrong);
    const url = new URL(address);
    const response = await send(connections, address, url, signal);
    const location = redirectOf(response);
    if (location === undefined) return response;
    response.body.resume();
    if (redirects === mostRedirects) throw failed(location, `stopped after ${mostRedirects} redirects`);
    if (!URL.canParse(location, url.href))
      throw failed(address, `failed to parse Location header ${JSON.stringify(location)}`);
    address = new URL(location, url).href;
  }
}

async function send(
  connections: Connections,
  address: string,
  url: URL,
  signal: AbortSignal,
): Promise<RegistryResponse> {
  try {
    return await connections.send({ method: 'GET', url, headers: { 'Accept-Encoding': 'gzip' }, signal, patience });
  } catch (error) {
    if (signal.aborted) throw cancelled(signal);
    throw failed(address, networkReason(((error as Error).cause ?? error) as Error, url), error);
  }
}

async function* contentOf(
  { headers, body }: RegistryResponse,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    // As Go: what a server compressed for the way only is given as it was.
    const isPacked = headers['content-encoding']?.toLowerCase() === 'gzip';
    yield* (isPacked ? pipeline(body, createGunzip(), () => undefined) : body) as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (signal.aborted) throw cancelled(signal);
    throw new WherryError('unavailable', brokenReason(error), { cause: error });
  }
}

/** What Go finds before it asks anybody. */
function problemOf(address: string): string | undefined {
  const [, scheme = '', place = ''] = /^([a-z]+):\/\/(.*)$/is.exec(address) ?? [];
  if (!/^https?$/i.test(scheme)) return `unsupported protocol scheme ${JSON.stringify(scheme)}`;
  if (place === '' || place.startsWith('/')) return 'http: no Host in request URL';
  const port = /^[^/?#]*:(\d+)(?:[/?#]|$)/.exec(place)?.[1];
  if (port !== undefined && Number(port) > 65_535) return `dial tcp: address ${port}: invalid port`;
  return URL.canParse(address) ? undefined : 'invalid address';
}

function failed(address: string, reason: string, cause?: unknown): WherryError {
  // Without anything behind them Go leaves the slashes out.
  const shown = address.replace(/^(https?:)\/\/$/, '$1');
  return new WherryError('unavailable', `Get ${JSON.stringify(shown)}: ${reason}`, { cause });
}
