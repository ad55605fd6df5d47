import { ServerResponse } from 'node:http';
import { pieceWriter } from '@wherry/base';
import type { BlobBytes } from '../storage/opened-blob.ts';
import type { Exchange } from './exchange.ts';

const largeChunk = 256 * 1024;
const smallChunk = 64 * 1024;
/** Readers at once from which on each of them gets smaller buffers. */
const manyReaders = 64;

let readers = 0;

/**
 * Sends a range of bytes after the head of the answer. The kernel takes those of a stored blob from its file, but for the
 * first, which go with the head, and over TLS.
 */
export async function sendBytes(exchange: Exchange, bytes: BlobBytes, start: number, end: number): Promise<void> {
  const response = exchange.response as ServerResponse;
  try {
    const fromFile = end - start > smallChunk ? await senderOf(exchange, bytes) : undefined;
    const copied = fromFile ? start + smallChunk : end;
    if (!(await copyBytes(exchange, bytes, start, copied))) return;
    if (fromFile && !(await fromFile(copied, end))) return;
    response.end();
  } catch (error) {
    // What was promised cannot be sent: the client must not take it for whole.
    response.destroy();
    throw error;
  }
}

/** Sends by the kernel alone. False: the reader has gone. */
type Sender = (start: number, end: number) => Promise<boolean>;

/** `undefined` where the bytes are not all in a file, or the connection changes what goes over it. */
async function senderOf(exchange: Exchange, { descriptor }: BlobBytes): Promise<Sender | undefined> {
  const { response } = exchange;
  if (descriptor === undefined || !(response instanceof ServerResponse)) return undefined;
  const linux = await loadKernel();
  const { socket } = response;
  if (socket === null || linux?.plainDescriptorOf(socket) === undefined) return undefined;
  const onSent = (count: number): void => {
    exchange.bytesSent += count;
  };
  return (start, end) => linux.sendFile(socket, descriptor, { start, end, onSent });
}

type Kernel = typeof import('@wherry/linux') | undefined;
let kernel: Promise<Kernel> | undefined;

/** Ahead of the first blob, since it takes some 50 ms. Not there where the registry runs in an image of its own, without native libraries. */
export function loadKernel(): Promise<Kernel> {
  kernel ??= import('@wherry/linux').catch(() => undefined);
  return kernel;
}

/**
 * Two buffers a reader, used again as soon as the kernel has taken them: one is filled while the other goes out, and a
 * slow reader holds no more than that. False: the reader has gone.
 */
async function copyBytes(exchange: Exchange, bytes: BlobBytes, start: number, end: number): Promise<boolean> {
  const chunk = Math.min(++readers > manyReaders ? smallChunk : largeChunk, Math.max(end - start, 1));
  const write = pieceWriter(exchange.response as ServerResponse);
  try {
    const buffers: Buffer[] = [];
    let sent: Promise<boolean> = Promise.resolve(true);
    for (let at = start, turn = 0; at < end; turn ^= 1) {
      const buffer = buffers[turn] ?? Buffer.allocUnsafeSlow(chunk);
      buffers[turn] = buffer;
      const read = await bytes.read(buffer.subarray(0, Math.min(chunk, end - at)), at);
      if (!(await sent)) return false;
      if (read === 0) throw new Error(`content ends ${end - at} bytes early`);
      at += read;
      exchange.bytesSent += read;
      sent = write(buffer.subarray(0, read));
    }
    return await sent;
  } finally {
    readers--;
  }
}

/** A range of RFC 9110, 14.1.2, from `start` to before `end`; the whole where there is none, or one that is not understood. */
export function parseRange(
  header: string | undefined,
  size: number,
): { readonly start: number; readonly end: number; readonly partial: boolean } | 'unsatisfiable' {
  const whole = { start: 0, end: size, partial: false };
  const match = /^bytes=\s*(\d{0,16})-(\d{0,16})\s*$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return whole;
  const [, first, last] = match;
  if (first === '') {
    const suffix = Number(last);
    if (suffix === 0 || size === 0) return 'unsatisfiable';
    return { start: Math.max(size - suffix, 0), end: size, partial: true };
  }
  const start = Number(first);
  // One that ends before it begins may be ignored or refused (RFC 9110, 14.2): who asks for it is wrong.
  if (start >= size || (last !== '' && Number(last) < start)) return 'unsatisfiable';
  return { start, end: last === '' ? size : Math.min(Number(last) + 1, size), partial: true };
}

/** Whether an `If-None-Match` names this entity tag. */
export function matches(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((entry) => {
    const text = entry.trim().replace(/^W\//, '');
    return text === '*' || text === tag || text === tag.slice(1, -1);
  });
}
