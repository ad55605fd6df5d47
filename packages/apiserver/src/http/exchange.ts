import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { gzip } from 'node:zlib';
import { statusError, statusOf } from '@wherry/api';
import { largestBody } from '../pipeline/limits.ts';

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

/** Responses from this size on are compressed for clients who ask (apiserver's threshold). */
const worthCompressing = 128 * 1024;

/** Reads a request's body. Error 413 above the limit. */
export function readBody(request: Request): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const announced = Number(request.headers['content-length'] ?? 0);
    if (announced > largestBody) {
      request.resume();
      reject(tooLarge());
      return;
    }
    let chunks: Buffer[] | undefined;
    let first: Buffer | undefined;
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > largestBody) {
        chunks = undefined;
        reject(tooLarge());
        return;
      }
      if (first === undefined) first = chunk;
      else if (chunks === undefined) chunks = [first, chunk];
      else chunks.push(chunk);
    });
    request.on('end', () => resolve(chunks !== undefined ? Buffer.concat(chunks, size) : (first ?? Buffer.alloc(0))));
    request.on('error', (error: Error) => reject(error));
    request.on('aborted', () => reject(statusError('cancelled', 'the client went away')));
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

/** Sends a failure as a `Status`. */
export function sendError(request: Request, response: Response, error: unknown, warnings?: readonly string[]): number {
  const status = statusOf(error);
  const code = status.code ?? 500;
  if (response.headersSent || response.destroyed) {
    response.end();
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
