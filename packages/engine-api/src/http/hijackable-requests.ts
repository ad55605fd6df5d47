import { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { WherryError } from '@wherry/base';
import { hasLongBody, hijackedRequest } from '../streams/hijacked-paths.ts';

/** A connection that leaves HTTP once its request is read. */
export interface HijackableSocket {
  readonly socket: Duplex;
  /** Whether the client asked for `Upgrade` and expects 101. */
  readonly upgrade: string | undefined;
}

/**
 * A request of Node's server that says of itself whether its connection leaves HTTP. dockerd takes over the connection
 * of an attach whether or not there is an `Upgrade` header (dockerode sends none and writes stdin past its body), and
 * ignores that header everywhere else; Node's parser asks for `upgrade` once the headers are read. It also lets go of long
 * bodies, which threads read.
 */
export class HijackableRequest extends IncomingMessage {
  get upgrade(): boolean {
    const { method = '', url = '' } = this;
    return hijackedRequest(method, url) || hasLongBody(method, url);
  }

  set upgrade(_: boolean) {}
}

/** No request that leaves HTTP has a longer body. */
const largestBody = 8 * 1024 * 1024;

/**
 * The body of a request that the parser has let go of. It is taken off the socket as its headers frame it; what
 * follows stays for whoever hijacks. Throws `invalid`, `tooLarge`.
 */
export async function takeBody(request: IncomingMessage, socket: Duplex): Promise<Readable> {
  if (request.headers['transfer-encoding'] !== undefined) return Readable.from(await takeFirstChunks(socket));
  const length = Number(request.headers['content-length'] ?? 0);
  if (!Number.isSafeInteger(length) || length < 0) throw new WherryError('invalid', 'bad Content-Length');
  if (length > largestBody) throw new WherryError('tooLarge', `request body is larger than ${largestBody} bytes`);
  return Readable.from(length === 0 ? [] : [await take(socket, length)]);
}

/** Exactly so many bytes. Throws `invalid` when the client ends before. */
async function take(socket: Duplex, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let missing = length;
  while (missing > 0) {
    const chunk = await next(socket);
    if (chunk === undefined) throw new WherryError('invalid', 'unexpected EOF');
    const wanted = chunk.subarray(0, missing);
    chunks.push(wanted);
    missing -= wanted.length;
    if (chunk.length > wanted.length) socket.unshift(chunk.subarray(wanted.length));
  }
  return Buffer.concat(chunks);
}

/** Chunked: read to its end, which such a request sends at once with its head. */
async function takeFirstChunks(socket: Duplex): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  let total = 0;
  for (;;) {
    const size = Number.parseInt(await takeLine(socket), 16);
    if (Number.isNaN(size)) throw new WherryError('invalid', 'malformed chunked encoding');
    total += size;
    if (total > largestBody) throw new WherryError('tooLarge', `request body is larger than ${largestBody} bytes`);
    if (size === 0) break;
    chunks.push(await take(socket, size));
    await takeLine(socket);
  }
  while ((await takeLine(socket)) !== '');
  return chunks;
}

async function takeLine(socket: Duplex): Promise<string> {
  let line = '';
  while (line.length < 4096) {
    const chunk = await next(socket);
    if (chunk === undefined) throw new WherryError('invalid', 'unexpected EOF');
    const end = chunk.indexOf(0x0a);
    line += chunk.toString('latin1', 0, end < 0 ? chunk.length : end);
    if (end < 0) continue;
    if (end + 1 < chunk.length) socket.unshift(chunk.subarray(end + 1));
    return line.replace(/\r$/, '');
  }
  throw new WherryError('invalid', 'malformed chunked encoding');
}

/** What comes, to the end of the client's side. */
export async function* piecesOf(socket: Duplex): AsyncGenerator<Buffer, void, undefined> {
  for (let piece = await next(socket); piece !== undefined; piece = await next(socket)) yield piece;
}

/** What has come, or comes next; `undefined` at the end. */
async function next(socket: Duplex): Promise<Buffer | undefined> {
  for (;;) {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (socket.readableEnded || socket.destroyed) return undefined;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        for (const event of ['readable', 'end', 'close', 'error']) socket.off(event, done);
        resolve();
      };
      for (const event of ['readable', 'end', 'close', 'error']) socket.on(event, done);
    });
  }
}
