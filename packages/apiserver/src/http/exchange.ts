import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { gzip } from 'node:zlib';
import { statusError, statusOf } from '@wherry/api';
import { type Clock, systemClock } from '@wherry/base';
import { largestBody } from '../pipeline/limits.ts';

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

/** Responses from this size on are compressed for clients who ask (apiserver's threshold). */
const worthCompressing = 128 * 1024;

/** Bytes of bodies that are being received, all requests together; beyond it clients are told to come again. */
const mostReceiving = 64 * 1024 * 1024;
/** How long a body may take (upstream's request timeout, milliseconds). */
const patience = 60_000;

let receiving = 0;

/**
 * Reads a request's body. Errors: 413 above the limit, 429 while too much is being received, `timeout`
 * for a client who takes a minute.
 */
export function readBody(request: Request, clock: Clock = systemClock): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const announced = Number(request.headers['content-length'] ?? 0);
    if (announced > largestBody) {
      request.resume();
      reject(tooLarge());
      return;
    }
    const body = new GrowingBuffer();
    let open = true;
    const settle = (outcome: () => void): void => {
      if (!open) return;
      open = false;
      timer[Symbol.dispose]();
      receiving -= body.capacity;
      outcome();
    };
    const timer = clock.after(patience, () =>
      settle(() => reject(statusError('timeout', 'the body of the request did not arrive in time'))),
    );
    request.on('data', (chunk: Buffer) => {
      // The rest of a body that was refused is thrown away.
      if (!open) return;
      if (body.length + chunk.length > largestBody) return settle(() => reject(tooLarge()));
      const before = body.capacity;
      body.append(chunk);
      receiving += body.capacity - before;
      if (receiving > mostReceiving) settle(() => reject(tooMany()));
    });
    request.on('end', () => settle(() => resolve(body.content())));
    request.on('error', (error: Error) => settle(() => reject(error)));
    request.on('aborted', () => settle(() => reject(statusError('cancelled', 'the client went away'))));
    request.on('close', () => settle(() => reject(statusError('cancelled', 'the client went away'))));
  });
}

/** Bytes that come in pieces of any size: a body sent byte by byte takes no more room than another. */
class GrowingBuffer {
  #bytes: Buffer | undefined;
  length = 0;

  /** Bytes that are held. */
  get capacity(): number {
    return this.#bytes?.length ?? 0;
  }

  append(chunk: Buffer): void {
    const needed = this.length + chunk.length;
    if (this.#bytes === undefined) {
      // Most bodies come in one piece, which is kept as it is.
      this.#bytes = chunk;
      this.length = needed;
      return;
    }
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length));
      this.#bytes.copy(larger, 0, 0, this.length);
      this.#bytes = larger;
    }
    chunk.copy(this.#bytes, this.length);
    this.length = needed;
  }

  content(): Buffer {
    return this.#bytes?.subarray(0, this.length) ?? Buffer.alloc(0);
  }
}

function tooMany(): Error {
  return statusError('exhausted', 'the server is receiving too much at the moment, please try again', {
    reason: 'TooManyRequests',
    code: 429,
    details: { retryAfterSeconds: 1 },
  });
}

function tooLarge(): Error {
  return statusError('tooLarge', `Request entity too large: limit is ${largestBody}`);
}

/** A body, perhaps in parts that need not be joined. */
export type Body = Buffer | readonly Buffer[];

/** Sends a whole body; compresses a large one when the client can read that. */
export function send(
  request: Request,
  response: Response,
  code: number,
  body: Body,
  contentType = 'application/json',
  warnings?: readonly string[],
): void {
  const headers: Record<string, string | number | readonly string[]> = {
    'content-type': contentType,
    'cache-control': 'no-cache, private',
  };
  if (warnings !== undefined && warnings.length > 0) headers.warning = warnings.map(warningHeader);
  if (lengthOf(body) >= worthCompressing && acceptsGzip(request)) {
    gzip(Buffer.isBuffer(body) ? body : Buffer.concat(body), { level: 1 }, (error, compressed) => {
      if (error !== null) {
        finish(response, code, headers, body);
        return;
      }
      headers['content-encoding'] = 'gzip';
      headers.vary = 'Accept-Encoding';
      finish(response, code, headers, compressed);
    });
    return;
  }
  finish(response, code, headers, body);
}

function finish(
  response: Response,
  code: number,
  headers: Record<string, string | number | readonly string[]>,
  body: Body,
): void {
  if (response.writableEnded || response.destroyed) return;
  const length = lengthOf(body);
  headers['content-length'] = length;
  const out = response as ServerResponse;
  out.writeHead(code, headers as Record<string, string | number>);
  if (length === 0) out.end();
  else if (Buffer.isBuffer(body)) out.end(body);
  else {
    out.cork();
    for (const part of body) out.write(part);
    out.end();
    out.uncork();
  }
}

function lengthOf(body: Body): number {
  return Buffer.isBuffer(body) ? body.length : body.reduce((sum, part) => sum + part.length, 0);
}

export function acceptsGzip(request: Request): boolean {
  const accepted = request.headers['accept-encoding'];
  return typeof accepted === 'string' && accepted.includes('gzip');
}

/** Sends a failure as a `Status`; behind the head of an answer, cuts that short: ended, it would look whole. */
export function sendError(request: Request, response: Response, error: unknown, warnings?: readonly string[]): number {
  const status = statusOf(error);
  const code = status.code ?? 500;
  if (response.headersSent || response.destroyed) {
    if (!response.writableEnded) response.destroy();
    return code;
  }
  const retry = status.details?.retryAfterSeconds;
  if (retry) response.setHeader('retry-after', String(retry));
  send(request, response, code, Buffer.from(`${JSON.stringify(status)}\n`), 'application/json', warnings);
  return code;
}

/** A `Warning` header value (RFC 9111 §5.5): code 299, no agent, quoted text. */
export function warningHeader(text: string): string {
  const clean = text.replace(/[\r\n\t\x00-\x1f\x7f]/g, ' ').replace(/[\\"]/g, '\\$&');
  return `299 - "${Buffer.from(clean, 'utf8').toString('latin1')}"`;
}
