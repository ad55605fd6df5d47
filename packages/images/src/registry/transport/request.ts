import { getServers } from 'node:dns';
import { setMaxListeners } from 'node:events';
import * as http from 'node:http';
import * as https from 'node:https';
import { isIP, type NetConnectOpts } from 'node:net';
import { messageOf, WherryError } from '@wherry/base';
import { type FileBody, type StreamBody, sendBody } from './send-body.ts';
import { type TakenConnection, TakeoverSocket } from './takeover-socket.ts';

export type RegistryMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH';

/** What is sent; a large body can be read again for another attempt, and may not know its size. */
export type RequestBody = string | Buffer | FileBody | StreamBody;

export interface RegistryRequest {
  readonly method: RegistryMethod;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody | undefined;
  readonly signal: AbortSignal;
  /** Milliseconds that the connection may be silent; default: a minute. */
  readonly patience?: number | undefined;
  /** The answer is long: its body may be left to a thread (`takeOver`). */
  readonly isLong?: boolean | undefined;
}

export interface RegistryResponse {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** Must be read to its end or destroyed. */
  readonly body: http.IncomingMessage;
  /** Ends the reading of a body, so that somebody else does it; where the connection allows that. The body is to be destroyed afterwards. */
  readonly takeOver?: (() => Promise<TakenConnection | undefined>) | undefined;
  /** Of the request. */
  readonly signal?: AbortSignal | undefined;
}

/** How TLS is spoken with a host. */
export interface TlsSettings {
  readonly ca?: readonly string[] | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly rejectUnauthorized: boolean;
}

/** Milliseconds that a connection may be silent. */
export const idleTimeout = 60_000;

/** Redirects that are followed, as by Go's client. */
export const mostRedirects = 10;

class TakeoverAgent extends http.Agent {
  // Node's types know only its own sockets; it takes any stream (http.Agent, `createConnection`).
  override createConnection(options: NetConnectOpts): never {
    return new TakeoverSocket(options) as never;
  }
}

/** Where an answer sends its client to; `undefined` where it does not. */
export function redirectOf({ status, headers }: RegistryResponse): string | undefined {
  return [301, 302, 303, 307, 308].includes(status) ? headers.location : undefined;
}

/** Connections of one pull or push; dispose to close them. */
export class Connections implements Disposable {
  readonly #http = new http.Agent({ keepAlive: true, maxSockets: 6 });
  readonly #long = new TakeoverAgent({ maxSockets: 6 });
  readonly #https: https.Agent;

  constructor(tls: TlsSettings = { rejectUnauthorized: true }) {
    this.#https = new https.Agent({
      keepAlive: true,
      maxSockets: 6,
      rejectUnauthorized: tls.rejectUnauthorized,
      // Added to those that Node trusts, as docker does.
      ...(tls.ca && { ca: [...tls.ca] }),
      ...(tls.cert !== undefined && { cert: tls.cert, key: tls.key }),
    });
  }

  /** Sends one request, redirects not followed. Rejects with `unavailable` in the words of Go's client. */
  send(asked: RegistryRequest): Promise<RegistryResponse> {
    const { method, url, headers, body, signal, patience = idleTimeout, isLong = false } = asked;
    // Each request listens, and one pull has many.
    setMaxListeners(0, signal);
    return new Promise((resolve, reject) => {
      const secure = url.protocol === 'https:';
      const length = bodyLength(method, body);
      const request = (secure ? https : http).request(url, {
        method,
        headers: { 'User-Agent': 'wherry', ...length, ...headers },
        agent: secure ? this.#https : isLong ? this.#long : this.#http,
        timeout: patience,
        signal,
      });
      request.on('timeout', () => request.destroy(new Error('i/o timeout')));
      request.on('error', (error) => reject(requestError(method, url, error, signal)));
      request.on('response', (response) => {
        // An answer that comes before the whole body was sent ends the connection with it.
        response.on('end', () => {
          if (!request.writableFinished) request.destroy();
        });
        const { socket } = response;
        const takeOver = socket instanceof TakeoverSocket ? () => socket.takeOver(response) : undefined;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: response, takeOver, signal });
      });
      if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) request.end(body);
      else void sendBody(request, body);
    });
  }

  [Symbol.dispose](): void {
    this.#http.destroy();
    this.#long.destroy();
    this.#https.destroy();
  }
}

function bodyLength(method: RegistryMethod, body: RequestBody | undefined): Record<string, number> {
  if (method === 'GET' || method === 'HEAD') return {};
  if (body === undefined) return { 'Content-Length': 0 };
  if (typeof body === 'string' || Buffer.isBuffer(body)) return { 'Content-Length': Buffer.byteLength(body) };
  return 'path' in body ? { 'Content-Length': body.end - body.start } : {};
}

function requestError(method: string, url: URL, error: Error, signal: AbortSignal): WherryError {
  if (signal.aborted) return new WherryError('cancelled', 'context canceled', { cause: error });
  if (error instanceof WherryError) return error;
  return new WherryError('unavailable', `${verbOf(method)} ${JSON.stringify(url.href)}: ${networkReason(error, url)}`, {
    cause: error,
  });
}

/** `Get`, `Head`: how Go's client names methods in its errors. */
export function verbOf(method: string): string {
  return method.charAt(0) + method.slice(1).toLowerCase();
}

interface NetworkError extends Error {
  readonly code?: string;
  readonly address?: string;
  readonly port?: number;
  readonly errors?: readonly NetworkError[];
}

const unknownAuthority = 'tls: failed to verify certificate: x509: certificate signed by unknown authority';

const notTls = 'http: server gave HTTP response to HTTPS client';

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'i/o timeout',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownAuthority,
  CERT_HAS_EXPIRED: 'tls: failed to verify certificate: x509: certificate has expired or is not yet valid',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'remote error: tls: certificate required',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'remote error: tls: bad certificate',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'remote error: tls: unknown certificate authority',
  ERR_SSL_WRONG_VERSION_NUMBER: notTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: notTls,
};

/** A network failure as Go words it: that is what people search for. */
export function networkReason(error: NetworkError, url: URL): string {
  // Of several addresses (`localhost` is ::1 and 127.0.0.1) the last attempt speaks.
  const last = error.errors?.at(-1) ?? error;
  if (last.code === 'ENOTFOUND') return `dial tcp: lookup ${url.hostname}${ofServer()}: no such host`;
  if (last.code === 'EAI_AGAIN') return `dial tcp: lookup ${url.hostname}: Temporary failure in name resolution`;
  const reason = reasons[last.code ?? ''];
  if (reason !== undefined && last.address !== undefined) {
    const address = last.address.includes(':') ? `[${last.address}]` : last.address;
    return `dial tcp ${address}:${last.port}: ${reason}`;
  }
  // Some versions of Node name what OpenSSL says in the text alone.
  if (last.code === 'EPROTO' && /wrong version number|packet length too long/.test(last.message)) return notTls;
  if (last.code === 'ECONNRESET') return 'read: connection reset by peer';
  return reason ?? messageOf(last);
}

/** Why an answer ended before its end, as Go tells: Node says of a connection that was closed that it was `aborted`. */
export function brokenReason(error: unknown): string {
  return (error as NodeJS.ErrnoException).code === 'ECONNRESET' ? 'unexpected EOF' : messageOf(error);
}

/** Whom the machine asks for names, where that is known. */
function ofServer(): string {
  const [server] = getServers();
  if (server === undefined) return '';
  return ` on ${isIP(server) === 6 ? `[${server}]:53` : server.includes(':') ? server : `${server}:53`}`;
}

/** A small body as bytes. Throws `tooLarge`, `unavailable` where it ends before its end, `cancelled`. */
export async function readBody(response: RegistryResponse, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit) throw new WherryError('tooLarge', `the registry's answer is longer than ${limit} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof WherryError) throw error;
    if (response.signal?.aborted) throw new WherryError('cancelled', 'context canceled', { cause: error });
    throw new WherryError('unavailable', brokenReason(error), { cause: error });
  }
  return Buffer.concat(chunks);
}

/** Hosts that are spoken to without TLS, as docker and containerd do: this machine. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}
