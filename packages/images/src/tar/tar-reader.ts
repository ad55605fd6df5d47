import { textOfName, WherryError } from '@wherry/base';
import { ByteReader } from './byte-reader.ts';
import { parsePax, paxNanoseconds, paxNumber, xattrsOf } from './pax.ts';
import { readGnuSparse, readPaxSparse, type SparseFile, withHoles } from './sparse.ts';
import { blockSize, type TarHeader, typeFlags } from './tar-entry.ts';
import { numberField as number, textField as text } from './tar-fields.ts';

export interface TarEntry {
  readonly header: TarHeader;
  /** The content; what is not read is skipped. Valid until the next entry. */
  readonly body: TarBody;
}

export interface TarBody extends AsyncIterable<Buffer> {
  /** All of it, where that is at hand: most files are small, and waiting for each takes longer than to write it. */
  readonly whole: Buffer | undefined;
}

/** Long names and pax attributes that hold for one entry, all headers together (bytes). */
const largestExtension = 1024 * 1024;

/**
 * Reads a tar archive from a stream, to the stream's end (padding included). Throws `corrupt` for
 * what is no tar or is cut off, `unsupported` for unknown types, `tooLarge` for overlong headers. Sparse files come whole.
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, undefined> {
  const reader = new ByteReader(source);
  let global = new Map<string, Buffer>();
  let extended = new Map<string, Buffer>();
  let held = { global: 0, own: 0 };
  try {
    for (;;) {
      const block = reader.ready(blockSize) ?? (await reader.read(blockSize));
      // Some writers leave out the two zero blocks at the end; a torn block throws in `read`.
      if (block === undefined) return;
      if (isZero(block)) break;
      const flag = checkHeader(block);
      if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') {
        const size = number(block, 124, 12);
        // Headers may follow each other without end: what is kept of them is counted together.
        if (flag === 'g') held = { ...held, global: held.global + size + blockSize };
        else held = { ...held, own: held.own + size + blockSize };
        if (held.global + held.own > largestExtension) {
          throw new WherryError('tooLarge', 'the tar headers of one entry are too long');
        }
        const content = await readExtension(reader, size);
        if (flag === 'x') extended = new Map([...extended, ...parsePax(content)]);
        else if (flag === 'g') global = new Map([...global, ...parsePax(content)]);
        else extended.set(flag === 'L' ? 'path' : 'linkpath', upToZero(content));
        continue;
      }
      const pax = global.size === 0 ? extended : new Map([...global, ...extended]);
      extended = new Map();
      held = { ...held, own: 0 };
      const stored = storedSize(block, flag, pax);
      // The block is gone once more is read.
      const plain = makeHeader(block, flag, pax, stored);
      const sparse = flag === 'S' ? await readGnuSparse(block, reader) : await readPaxSparse(pax, reader);
      const header = sparse ? { ...plain, size: sparse.size } : plain;
      const whole = sparse === undefined ? reader.ready(stored) : undefined;
      if (whole) yield { header, body: new WholeBody(whole) };
      else yield* entryInPieces(reader, header, stored, sparse);
      const padding = (blockSize - (stored % blockSize)) % blockSize;
      // docker's CLI ends an archive with the last content where the Dockerfile is not in the context: no padding, no end.
      if (padding > 0 && reader.ready(padding) === undefined) await reader.read(padding);
    }
    await reader.drain();
  } finally {
    await reader.close();
  }
}

/** Content that is at hand. */
class WholeBody implements TarBody {
  readonly whole: Buffer;

  constructor(whole: Buffer) {
    this.whole = whole;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    if (this.whole.length > 0) yield this.whole;
  }
}

/** Content that is still to come. */
async function* entryInPieces(
  reader: ByteReader,
  header: TarHeader,
  stored: number,
  sparse: SparseFile | undefined,
): AsyncGenerator<TarEntry, void, undefined> {
  const content = stored - (sparse?.mapBytes ?? 0);
  const inParts = sparse?.parts.reduce((sum, { length }) => sum + length, 0) ?? content;
  if (inParts !== content) throw new WherryError('corrupt', 'archive/tar: invalid tar header');
  const pieces = sparse === undefined ? reader.pieces(content) : withHoles(sparse, reader);
  yield { header, body: { whole: undefined, [Symbol.asyncIterator]: () => ({ next: () => pieces.next() }) } };
  // Whatever the consumer left.
  for (let next = await pieces.next(); !next.done; next = await pieces.next());
}

async function readExtension(reader: ByteReader, size: number): Promise<Buffer> {
  if (size > largestExtension) throw new WherryError('tooLarge', `a tar header of ${size} bytes is too long`);
  const padded = Math.ceil(size / blockSize) * blockSize;
  const content = padded === 0 ? Buffer.alloc(0) : await reader.read(padded);
  if (content === undefined) throw new WherryError('corrupt', 'unexpected EOF');
  return Buffer.from(content.subarray(0, size));
}

/** Verifies the checksum and gives the type flag. */
function checkHeader(block: Buffer): string {
  const given = number(block, 148, 8);
  // Some old writers added up signed bytes.
  if (given !== sumOf(block) && given !== sumOf(new Int8Array(block.buffer, block.byteOffset, blockSize))) {
    throw new WherryError('corrupt', 'archive/tar: invalid tar header');
  }
  return String.fromCharCode(block[156]!);
}

/** Of a header whose checksum is taken for blanks. */
function sumOf(block: Uint8Array | Int8Array): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < 148; at++) sum += block[at]!;
  for (let at = 156; at < blockSize; at++) sum += block[at]!;
  return sum;
}

/** Bytes of content in the archive. */
function storedSize(block: Buffer, flag: string, pax: ReadonlyMap<string, Buffer>): number {
  if (typeFlags[flag] !== 'file') return 0;
  const size = paxNumber(pax, 'size', number(block, 124, 12));
  if (!Number.isSafeInteger(size) || size < 0) throw new WherryError('corrupt', 'invalid size in a tar header');
  return size;
}

function makeHeader(block: Buffer, flag: string, pax: ReadonlyMap<string, Buffer>, size: number): TarHeader {
  const type = typeFlags[flag];
  if (type === undefined) throw new WherryError('unsupported', `tar entries of type ${JSON.stringify(flag)}`);
  const paxName = (key: string): string | undefined => {
    const value = pax.get(key);
    return value === undefined || value.length === 0 ? undefined : textOfName(value);
  };
  const name = paxName('GNU.sparse.name') ?? paxName('path') ?? fullName(block);
  const linkName = paxName('linkpath') ?? text(block, 157, 100);
  if (name.includes('\0') || linkName.includes('\0')) throw new WherryError('corrupt', 'invalid name in a tar header');
  return {
    name,
    // Archives older than ustar mark a folder by the slash at the end of its name.
    type: type === 'file' && name.endsWith('/') ? 'directory' : type,
    mode: number(block, 100, 8) & 0o7777,
    uid: paxNumber(pax, 'uid', number(block, 108, 8)),
    gid: paxNumber(pax, 'gid', number(block, 116, 8)),
    size,
    mtime: paxNumber(pax, 'mtime', number(block, 136, 12)),
    mtimeNanoseconds: paxNanoseconds(pax, 'mtime'),
    linkName,
    major: deviceNumber(block, 329),
    minor: deviceNumber(block, 337),
    xattrs: xattrsOf(pax),
  };
}

function deviceNumber(block: Buffer, offset: number): number {
  // Before ustar there are none, and some writers leave other things there.
  if (!isUstar(block)) return 0;
  const value = number(block, offset, 8);
  if (value < 0 || value > 0xffffffff) throw new WherryError('corrupt', 'archive/tar: invalid tar header');
  return value;
}

const ustar = Buffer.from('ustar');

function isUstar(block: Buffer): boolean {
  return block.compare(ustar, 0, ustar.length, 257, 257 + ustar.length) === 0;
}

function fullName(block: Buffer): string {
  const name = text(block, 0, 100);
  // Only ustar has a prefix; old GNU archives keep other things there, star's is shorter.
  if (!isUstar(block) || block[262] !== 0 || block[345] === 0) return name;
  const prefix = text(block, 345, block.toString('latin1', 508, 512) === 'tar\0' ? 131 : 155);
  return prefix === '' ? name : `${prefix}/${name}`;
}

function upToZero(content: Buffer): Buffer {
  const end = content.indexOf(0);
  return end < 0 ? content : content.subarray(0, end);
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}
