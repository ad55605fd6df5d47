import type { ServerResponse } from 'node:http';
import type { BlobBytes } from '../storage/opened-blob.ts';
import type { Exchange } from './exchange.ts';

const largeChunk = 256 * 1024;
const smallChunk = 64 * 1024;
/** Readers at once from which on each of them gets smaller buffers. */
const manyReaders = 64;

let readers = 0;

/**
 * Sends a range of bytes after the head of the answer. Two buffers a reader, used again as soon as the kernel has
 * taken them: one is filled while the other goes out, and a slow reader holds no more than that.
 */
export async function sendBytes(exchange: Exchange, bytes: BlobBytes, start: number, end: number): Promise<void> {
  const response = exchange.response as ServerResponse;
  const chunk = Math.min(++readers > manyReaders ? smallChunk : largeChunk, Math.max(end - start, 1));
  const write = writer(response);
  try {
    const buffers: Buffer[] = [];
    let sent: Promise<boolean> = Promise.resolve(true);
    for (let at = start, turn = 0; at < end; turn ^= 1) {
      const buffer = buffers[turn] ?? Buffer.allocUnsafeSlow(chunk);
      buffers[turn] = buffer;
      const read = await bytes.read(buffer.subarray(0, Math.min(chunk, end - at)), at);
      if (!(await sent)) return;
      if (read === 0) throw new Error(`content ends ${end - at} bytes early`);
      at += read;
      exchange.bytesSent += read;
      sent = write(buffer.subarray(0, read));
    }
    if (await sent) response.end();
  } catch (error) {
    // What was promised cannot be sent: the client must not take it for whole.
    response.destroy();
    throw error;
  } finally {
    readers--;
  }
}

/** Writes parts one by one; each resolves when it is out of our hands, with `false` when the reader has gone. */
function writer(response: ServerResponse): (part: Buffer) => Promise<boolean> {
  let settle: ((sent: boolean) => void) | undefined;
  // Node calls no callback of a write whose connection ended before the write was made.
  response.once('close', () => settle?.(false));
  return (part) => {
    if (response.destroyed || response.writableEnded) return Promise.resolve(false);
    return new Promise((resolve) => {
      settle = resolve;
      response.write(part, (error) => resolve(!error));
    });
  };
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
