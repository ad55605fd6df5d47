import { WherryError } from '@wherry/base';
import { ByteReader } from './byte-reader.ts';
import { blockSize, type TarHeader, typeFlags } from './tar-entry.ts';

export interface TarEntry {
  readonly header: TarHeader;
  /** The content; what is not read is skipped. Valid until the next entry. */
  readonly body: AsyncIterable<Buffer>;
}

/** Long names and pax attributes that hold for one entry, all headers together (bytes). */
const largestExtension = 1024 * 1024;

/**
 * Reads a tar archive from a stream, to the stream's end (padding included). Throws `corrupt` for
 * what is no tar or is cut off, `unsupported` for sparse files, `tooLarge` for overlong headers.
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, undefined> {
  const reader = new ByteReader(source);
  let global = new Map<string, Buffer>();
  let extended = new Map<string, Buffer>();
  let held = { global: 0, own: 0 };
  try {
    for (;;) {
      const block = await reader.read(blockSize);
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
        else extended.set(flag === 'L' ? 'path' : 'linkpath', content.subarray(0, lengthOf(content)));
        continue;
      }
      const header = makeHeader(block, flag, new Map([...global, ...extended]));
      extended = new Map();
      held = { ...held, own: 0 };
      yield* entry(reader, header);
    }
    await reader.drain();
  } finally {
    await reader.close();
  }
}

async function* entry(reader: ByteReader, header: TarHeader): AsyncGenerator<TarEntry, void, undefined> {
  const pieces = reader.pieces(header.size);
  yield { header, body: { [Symbol.asyncIterator]: () => ({ next: () => pieces.next() }) } };
  // Whatever the consumer left.
  for (let next = await pieces.next(); !next.done; next = await pieces.next());
  const padding = (blockSize - (header.size % blockSize)) % blockSize;
  // docker's CLI ends an archive with the last content where the Dockerfile is not in the context: no padding, no end.
  if (padding > 0) await reader.read(padding);
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
  let sum = 8 * 32;
  for (let at = 0; at < blockSize; at++) if (at < 148 || at >= 156) sum += block[at]!;
  if (number(block, 148, 8) !== sum) throw new WherryError('corrupt', 'archive/tar: invalid tar header');
  return String.fromCharCode(block[156]!);
}

function makeHeader(block: Buffer, flag: string, pax: ReadonlyMap<string, Buffer>): TarHeader {
  const type = typeFlags[flag];
  if (flag === 'S' || [...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
    throw new WherryError('unsupported', 'sparse files in tar archives are not supported');
  }
  if (type === undefined) throw new WherryError('unsupported', `tar entries of type ${JSON.stringify(flag)}`);
  const name = pax.get('path')?.toString() ?? fullName(block);
  const size = type === 'file' ? paxNumber(pax, 'size', number(block, 124, 12)) : 0;
  if (!Number.isSafeInteger(size) || size < 0) throw new WherryError('corrupt', 'invalid size in a tar header');
  if (name.includes('\0')) throw new WherryError('corrupt', 'invalid name in a tar header');
  return {
    name,
    // Archives older than ustar mark a folder by the slash at the end of its name.
    type: type === 'file' && name.endsWith('/') ? 'directory' : type,
    mode: number(block, 100, 8) & 0o7777,
    uid: paxNumber(pax, 'uid', number(block, 108, 8)),
    gid: paxNumber(pax, 'gid', number(block, 116, 8)),
    size,
    mtime: paxNumber(pax, 'mtime', number(block, 136, 12)),
    linkName: pax.get('linkpath')?.toString() ?? text(block, 157, 100),
    major: number(block, 329, 8),
    minor: number(block, 337, 8),
    xattrs: xattrsOf(pax),
  };
}

function fullName(block: Buffer): string {
  const name = text(block, 0, 100);
  // Only ustar has a prefix; old GNU archives keep other things there.
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? text(block, 345, 155) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function xattrsOf(pax: ReadonlyMap<string, Buffer>): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const [key, value] of pax) if (key.startsWith('SCHILY.xattr.')) found.set(key.slice(13), value);
  return found;
}

/** Records `length key=value\n`, the length counting all of itself (pax, "Extended Header"). */
function parsePax(content: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  let at = 0;
  while (at < content.length) {
    const space = content.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(content.toString('latin1', at, space));
    const end = at + length;
    const equals = content.indexOf(0x3d, space);
    const whole = Number.isInteger(length) && end <= content.length && equals > 0 && equals < end;
    if (!whole || content[end - 1] !== 0x0a) throw new WherryError('corrupt', 'invalid pax header');
    records.set(content.toString('utf8', space + 1, equals), content.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

function paxNumber(pax: ReadonlyMap<string, Buffer>, key: string, otherwise: number): number {
  const value = pax.get(key);
  if (value === undefined || value.length === 0) return otherwise;
  const parsed = Number(value.toString('latin1'));
  if (!Number.isFinite(parsed)) throw new WherryError('corrupt', `invalid ${key} in a pax header`);
  return parsed;
}

/** An octal field, or with the top bit set a big-endian binary one (GNU). */
function number(block: Buffer, offset: number, length: number): number {
  if ((block[offset]! & 0x80) === 0) {
    const digits = text(block, offset, length).trim();
    return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : invalidNumber();
  }
  let value = block[offset] === 0xff ? -1n : BigInt(block[offset]! & 0x7f);
  for (let at = offset + 1; at < offset + length; at++) value = (value << 8n) | BigInt(block[at]!);
  return Number(value);
}

function invalidNumber(): never {
  throw new WherryError('corrupt', 'archive/tar: invalid tar header');
}

function text(block: Buffer, offset: number, length: number): string {
  const field = block.subarray(offset, offset + length);
  return field.toString('utf8', 0, lengthOf(field));
}

function lengthOf(field: Buffer): number {
  const end = field.indexOf(0);
  return end < 0 ? field.length : end;
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}
