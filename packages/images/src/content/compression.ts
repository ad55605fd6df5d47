import { Readable } from 'node:stream';
import * as zlib from 'node:zlib';
import { WherryError } from '@wherry/base';

export type Compression = 'none' | 'gzip' | 'zstd';

/** By the first bytes (RFC 1952, RFC 8878); whatever is neither is taken as it is. */
export function detectCompression(start: Uint8Array): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip';
  if (start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd) return 'zstd';
  return 'none';
}

/** The plain content of a stream that may be compressed. Throws `corrupt`; `unsupported` for zstd before Node 22.15. */
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
  const input = Readable.from(source, { objectMode: false });
  const decoder = compression === 'gzip' ? zlib.createGunzip() : zstdDecoder();
  input.on('error', (error) => decoder.destroy(error));
  try {
    for await (const chunk of input.pipe(decoder)) yield chunk as Buffer;
  } catch (error) {
    const code = String((error as { code?: unknown }).code);
    if (!code.startsWith('Z_') && !code.startsWith('ZSTD_')) throw error;
    throw new WherryError('corrupt', `invalid ${compression} data: ${(error as Error).message}`, { cause: error });
  } finally {
    input.destroy();
    decoder.destroy();
  }
}

function zstdDecoder(): ReturnType<typeof zlib.createGunzip> {
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => ReturnType<typeof zlib.createGunzip> };
  if (createZstdDecompress) return createZstdDecompress();
  throw new WherryError('unsupported', 'zstd compressed layers need Node.js 22.15 or later');
}

async function* join(head: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* head;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
