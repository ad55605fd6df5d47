import { WherryError } from '@wherry/base';
import type { ByteReader } from './byte-reader.ts';
import { blockSize } from './tar-entry.ts';
import { numberField } from './tar-fields.ts';

/** A part of a sparse file that its archive has; what is between parts is zeros. */
export interface SparsePart {
  readonly offset: number;
  readonly length: number;
}

/** A sparse file as an archive keeps it. */
export interface SparseFile {
  readonly parts: readonly SparsePart[];
  /** With its holes. */
  readonly size: number;
  /** Bytes of its entry that the map took. */
  readonly mapBytes: number;
}

/** As a map may have; what GNU tar makes is far below. */
const mostParts = 1_000_000;
const longestLine = 20;
const zeros = Buffer.alloc(1024 * 1024);

/** Of GNU tar's own entries (type `S`): a few parts stand in the header, more in blocks behind it. */
export async function readGnuSparse(header: Buffer, reader: ByteReader): Promise<SparseFile> {
  const parts: SparsePart[] = [];
  const take = (block: Buffer, start: number, count: number): void => {
    for (let at = start; at < start + count * 24 && block[at] !== 0; at += 24) {
      parts.push({ offset: numberField(block, at, 12), length: numberField(block, at + 12, 12) });
    }
  };
  take(header, 386, 4);
  const size = numberField(header, 483, 12);
  for (let more = header[482] !== 0; more; ) {
    const block = await reader.read(blockSize);
    if (block === undefined) throw new WherryError('corrupt', 'unexpected EOF');
    take(block, 0, 21);
    more = block[504] !== 0;
    if (parts.length > mostParts) throw tooMany();
  }
  return checked({ parts, size, mapBytes: 0 });
}

/** Of pax archives: the map stands in a record (0.0, 0.1) or before the content (1.0). `undefined`: not sparse. */
export async function readPaxSparse(
  pax: ReadonlyMap<string, Buffer>,
  reader: ByteReader,
): Promise<SparseFile | undefined> {
  const text = (key: string): string | undefined => pax.get(`GNU.sparse.${key}`)?.toString('latin1');
  const version = `${text('major') ?? ''}.${text('minor') ?? ''}`;
  const map = text('map');
  if (version !== '1.0' && map === undefined) return undefined;
  const size = Number(text('realsize') ?? text('size') ?? Number.NaN);
  if (version === '1.0') return checked({ ...(await readMap(reader)), size });
  const numbers = map === '' ? [] : map!.split(',').map(wholeNumber);
  return checked({ parts: pairs(numbers), size, mapBytes: 0 });
}

/** Lines of decimal numbers: how many parts, and two for each; filled up to a block. */
async function readMap(reader: ByteReader): Promise<{ parts: SparsePart[]; mapBytes: number }> {
  const numbers: number[] = [];
  let [line, mapBytes, expected] = ['', 0, 1];
  while (numbers.length < expected) {
    const block = await reader.read(blockSize);
    if (block === undefined) throw new WherryError('corrupt', 'unexpected EOF');
    mapBytes += blockSize;
    for (const byte of block) {
      if (byte !== 0x0a) {
        line += String.fromCharCode(byte);
        if (line.length > longestLine && numbers.length < expected) throw invalid();
        continue;
      }
      numbers.push(wholeNumber(line));
      line = '';
      if (numbers.length === 1) expected = 1 + 2 * numbers[0]!;
      if (expected > 2 * mostParts) throw tooMany();
      if (numbers.length === expected) break;
    }
  }
  return { parts: pairs(numbers.slice(1)), mapBytes };
}

/** The whole content: what the archive has, and zeros between. */
export async function* withHoles(
  { parts, size }: SparseFile,
  reader: ByteReader,
): AsyncGenerator<Buffer, void, undefined> {
  let at = 0;
  for (const { offset, length } of parts) {
    yield* hole(offset - at);
    yield* reader.pieces(length);
    at = offset + length;
  }
  yield* hole(size - at);
}

function* hole(length: number): Generator<Buffer, void, undefined> {
  for (let left = length; left > 0; left -= zeros.length) yield zeros.subarray(0, Math.min(left, zeros.length));
}

/** Parts in order, none over another, none beyond the end. */
function checked(file: SparseFile): SparseFile {
  let at = 0;
  for (const { offset, length } of file.parts) {
    if (offset < at || length < 0 || !Number.isSafeInteger(offset + length)) throw invalid();
    at = offset + length;
  }
  if (!Number.isSafeInteger(file.size) || file.size < at) throw invalid();
  return file;
}

function pairs(numbers: readonly number[]): SparsePart[] {
  if (numbers.length % 2 !== 0) throw invalid();
  if (numbers.length > 2 * mostParts) throw tooMany();
  return Array.from({ length: numbers.length / 2 }, (_, n) => ({
    offset: numbers[2 * n]!,
    length: numbers[2 * n + 1]!,
  }));
}

function wholeNumber(text: string): number {
  if (!/^\d{1,19}$/.test(text)) throw invalid();
  return Number(text);
}

/** In the words of Go's archive/tar. */
function invalid(): WherryError {
  return new WherryError('corrupt', 'archive/tar: invalid tar header');
}

function tooMany(): WherryError {
  return new WherryError('tooLarge', `a sparse file of more than ${mostParts} parts`);
}
