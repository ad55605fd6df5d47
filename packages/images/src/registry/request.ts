import * as http from 'node:http';
import * as https from 'node:https';
import { messageOf, WherryError } from '@wherry/base';

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly signal: AbortSignal;
}

export interface RegistryResponse {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** Must be read to its end or destroyed. */
  readonly body: http.IncomingMessage;
}

/** A connection that is silent for longer than this is given up. */
const idleTimeout = 60_000;

/** Connections of one pull; dispose to close them. */
export class Connections implements Disposable {
  readonly #http = new http.Agent({ keepAlive: true, maxSockets: 6 });
  readonly #https = new https.Agent({ keepAlive: true, maxSockets: 6 });

  /** Sends one request, redirects not followed. Rejects with `unavailable` in the words of Go's client. */
  send({ method, url, headers, body, signal }: RegistryRequest): Promise<RegistryResponse> {
    return new Promise((resolve, reject) => {
      const secure = url.protocol === 'https:';
      const request = (secure ? https : http).request(url, {
        method,
        headers: { 'User-Agent': 'wherry', ...headers },
        agent: secure ? this.#https : this.#http,
        timeout: idleTimeout,
        signal,
      });
      request.on('timeout', () => request.destroy(new Error('i/o timeout')));
      request.on('error', (error) => reject(requestError(method, url, error, signal)));
      request.on('response', (response) =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: response }),
      );
      request.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#http.destroy();
    this.#https.destroy();
  }
}

function requestError(method: string, url: URL, error: Error, signal: AbortSignal): WherryError {
  if (signal.aborted) return new WherryError('cancelled', 'context canceled', { cause: error });
  const verb = method[0] + method.slice(1).toLowerCase();
  return new WherryError('unavailable', `${verb} ${JSON.stringify(url.href)}: ${networkReason(error, url)}`, {
    cause: error,
  });
}

interface NetworkError extends Error {
  readonly code?: string;
  readonly address?: string;
  readonly port?: number;
  readonly errors?: readonly NetworkError[];
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'i/o timeout',
};

/** A network failure as Go words it: that is what people search for. */
function networkReason(error: NetworkError, url: URL): string {
  // Of several addresses (`localhost` is ::1 and 127.0.0.1) the last attempt speaks.
  const last = error.errors?.at(-1) ?? error;
  if (last.code === 'ENOTFOUND') return `dial tcp: lookup ${url.hostname}: no such host`;
  if (last.code === 'EAI_AGAIN') return `dial tcp: lookup ${url.hostname}: Temporary failure in name resolution`;
  const reason = reasons[last.code ?? ''];
  if (reason !== undefined && last.address !== undefined) {
    const address = last.address.includes(':') ? `[${last.address}]` : last.address;
    return `dial tcp ${address}:${last.port}: ${reason}`;
  }
  if (last.code === 'ECONNRESET') return 'read: connection reset by peer';
  return reason ?? messageOf(last);
}

/** A small body as bytes. Throws `tooLarge`. */
export async function readBody(response: RegistryResponse, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw new WherryError('tooLarge', `the registry's answer is longer than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Hosts that are spoken to without TLS, as docker and containerd do: this machine. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}
