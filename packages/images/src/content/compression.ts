import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Breather, messageOf, peek, WherryError } from '@wherry/base';
import { gzipDecoder, zstdDecoder } from '@wherry/linux';
import { decodeByProgram } from './decode-by-program.ts';

export type Compression = 'none' | 'gzip' | 'bzip2' | 'xz' | 'zstd';

const magics: readonly (readonly [Compression, string])[] = [
  ['gzip', '1f8b'],
  ['bzip2', '425a68'],
  ['xz', 'fd377a585a00'],
  ['zstd', '28b52ffd'],
];
const longestMagic = 6;

/** By the first bytes; whatever has none of the known beginnings is taken as it is. */
export function detectCompression(start: Uint8Array): Compression {
  const hex = Buffer.from(start.subarray(0, longestMagic)).toString('hex');
  return magics.find(([, magic]) => hex.startsWith(magic))?.[0] ?? 'none';
}

export interface DecompressOptions {
  /** On a thread that may be kept busy: pieces of the source, too, are valid only until the next one is asked for. */
  readonly isAlone?: boolean | undefined;
}

/**
 * The plain content of a stream that may be compressed; nothing is read before it is asked for. Throws `corrupt` in the
 * words of Go, `unsupported` for what the host has no library (zstd) or program (bzip2, xz) for.
 */
export async function* decompressed(
  source: AsyncIterable<Uint8Array>,
  { isAlone = false }: DecompressOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { first, whole } = await peek(source, longestMagic);
  const compression = detectCompression(first);
  if (compression === 'none') yield* whole;
  else if (compression === 'gzip') yield* isAlone ? decodeGzipHere(whole) : decodeGzip(whole);
  else if (compression === 'zstd') yield* decodeZstd(whole, isAlone);
  else yield* decodeByProgram(isAlone ? copied(whole) : whole, compression);
}

/** For whoever takes pieces before those that were taken are dealt with. */
async function* copied(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const piece of source) yield Buffer.from(piece);
}

async function* decodeGzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = Readable.from(source, { objectMode: false });
  const decoder = createGunzip({ chunkSize: 256 * 1024 });
  // Whoever reads is told by the iteration; afterwards nobody is there to be told.
  decoder.on('error', () => undefined);
  input.on('error', (error) => decoder.destroy(error));
  try {
    for await (const chunk of input.pipe(decoder)) yield chunk as Buffer;
  } catch (error) {
    const code = String((error as { code?: unknown }).code);
    if (!code.startsWith('Z_')) throw error;
    throw new WherryError('corrupt', code === 'Z_BUF_ERROR' ? unexpectedEnd : inWordsOfGo(messageOf(error)), {
      cause: error,
    });
  } finally {
    input.destroy();
    decoder.destroy();
  }
}

async function* decodeGzipHere(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  using decoder = gzipDecoder();
  if (decoder === undefined) {
    yield* decodeGzip(copied(source));
    return;
  }
  for await (const chunk of source) yield* inWords(decoder.decode(chunk));
  if (!decoder.isWhole) throw new WherryError('corrupt', unexpectedEnd);
}

function* inWords(pieces: Generator<Buffer>): Generator<Buffer> {
  try {
    yield* pieces;
  } catch (error) {
    throw new WherryError('corrupt', inWordsOfGo(messageOf(error)), { cause: error });
  }
}

const unexpectedEnd = 'unexpected EOF';

/** compress/gzip and compress/flate; where a flate stream is broken zlib does not say. */
function inWordsOfGo(message: string): string {
  if (/header|compression method|window size/.test(message)) return 'gzip: invalid header';
  return /check$/.test(message) ? 'gzip: invalid checksum' : `flate: corrupt input: ${message}`;
}

async function* decodeZstd(source: AsyncIterable<Uint8Array>, isAlone: boolean): AsyncGenerator<Uint8Array> {
  using decoder = zstdDecoder();
  if (decoder === undefined) {
    throw new WherryError('unsupported', 'zstd compressed layers need libzstd (Debian: apt-get install libzstd1)');
  }
  // A chunk may lead to a thousand times as much, which a consumer may skip without waiting for anything.
  const breather = new Breather();
  for await (const chunk of source) {
    for (const piece of decoder.decode(chunk)) {
      if (isAlone) yield piece;
      else {
        // A consumer may keep a piece for a while, and the decoder writes into the same memory again.
        yield Buffer.from(piece);
        await breather.rest();
      }
    }
  }
  decoder.end();
}
