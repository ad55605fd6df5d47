import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { WherryError } from '@wherry/base';
import { zstdDecoder } from '@wherry/linux';

export type Compression = 'none' | 'gzip' | 'zstd';

/** By the first bytes (RFC 1952, RFC 8878); whatever is neither is taken as it is. */
export function detectCompression(start: Uint8Array): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip';
  if (start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd) return 'zstd';
  return 'none';
}

/** The plain content of a stream that may be compressed. Throws `corrupt`; `unsupported` for zstd without libzstd. */
export async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  let length = 0;
  while (length < 4) {
    const next = await iterator.next();
    if (next.done) break;
    head.push(next.value);
    length += next.value.length;
  }
  const compression = detectCompression(Buffer.concat(head).subarray(0, 4));
  const whole = join(head, iterator);
  if (compression === 'none') yield* whole;
  else yield* decode(whole, compression);
}

async function* decode(source: AsyncIterable<Uint8Array>, compression: 'gzip' | 'zstd'): AsyncGenerator<Uint8Array> {
  if (compression === 'zstd') {
    yield* decodeZstd(source);
    return;
  }
  const input = Readable.from(source, { objectMode: false });
  const decoder = createGunzip({ chunkSize: 256 * 1024 });
  input.on('error', (error) => decoder.destroy(error));
  try {
    for await (const chunk of input.pipe(decoder)) yield chunk as Buffer;
  } catch (error) {
    const code = String((error as { code?: unknown }).code);
    if (!code.startsWith('Z_')) throw error;
    throw new WherryError('corrupt', `invalid gzip data: ${(error as Error).message}`, { cause: error });
  } finally {
    input.destroy();
    decoder.destroy();
  }
}

async function* decodeZstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  using decoder = zstdDecoder();
  if (decoder === undefined) {
    throw new WherryError('unsupported', 'zstd compressed layers need libzstd (Debian: apt-get install libzstd1)');
  }
  for await (const chunk of source) {
    // A consumer may keep a piece for a while, and the decoder writes into the same memory again.
    for (const piece of decoder.decode(chunk)) yield Buffer.from(piece);
  }
  decoder.end();
}

async function* join(head: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* head;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
