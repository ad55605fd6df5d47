import { bytesOfName, WherryError } from '@wherry/base';
import { blockSize, type TarType } from './tar-entry.ts';

/** What to write; the same entries give the same bytes. */
export interface TarInput {
  /** As of `textOfName`. */
  readonly name: string;
  readonly type: TarType;
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since the epoch. */
  readonly mtime?: number;
  readonly linkName?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
  /** Of a file. */
  readonly content?: Uint8Array | { readonly size: number; readonly body: AsyncIterable<Uint8Array> };
}

const flags: Record<TarType, string> = {
  file: '0',
  link: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

/** Writes a tar archive: ustar, with pax headers where ustar cannot say it. */
export async function* writeTar(
  entries: Iterable<TarInput> | AsyncIterable<TarInput>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const entry of entries) {
    yield tarHeader(entry);
    const { content } = entry;
    if (content === undefined) continue;
    let size = 0;
    if (content instanceof Uint8Array) {
      size = content.length;
      yield Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    } else {
      for await (const chunk of content.body) {
        size += chunk.length;
        yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      }
      if (size !== content.size) throw new WherryError('conflict', `${entry.name} changed while it was read`);
    }
    yield Buffer.alloc((blockSize - (size % blockSize)) % blockSize);
  }
  yield Buffer.alloc(2 * blockSize);
}

/** The header of an entry, with its pax extension where it needs one. */
export function tarHeader(entry: TarInput, size = entry.content === undefined ? 0 : sizeOf(entry.content)): Buffer {
  const name = entry.type === 'directory' && !entry.name.endsWith('/') ? `${entry.name}/` : entry.name;
  const pax = paxFor(entry, name, size);
  const block = ustar({ ...entry, name }, size, flags[entry.type]);
  if (pax.length === 0) return block;
  const extension = ustar({ name: 'PaxHeader', type: 'file', mode: 0o644 }, pax.length, 'x');
  return Buffer.concat([extension, pax, Buffer.alloc((blockSize - (pax.length % blockSize)) % blockSize), block]);
}

function sizeOf(content: NonNullable<TarInput['content']>): number {
  return content instanceof Uint8Array ? content.length : content.size;
}

const largestOctal = { 8: 0o7777777, 12: 0o77777777777 } as const;

function paxFor(entry: TarInput, name: string, size: number): Buffer {
  const records: Buffer[] = [];
  const add = (key: string, value: string | Uint8Array): void => {
    records.push(record(key, typeof value === 'string' ? bytesOfName(value) : Buffer.from(value)));
  };
  if (!fits(name, 100)) add('path', name);
  if (!fits(entry.linkName ?? '', 100)) add('linkpath', entry.linkName!);
  if ((entry.uid ?? 0) > largestOctal[8]) add('uid', `${entry.uid}`);
  if ((entry.gid ?? 0) > largestOctal[8]) add('gid', `${entry.gid}`);
  if (size > largestOctal[12]) add('size', `${size}`);
  if (!Number.isInteger(entry.mtime ?? 0) || (entry.mtime ?? 0) < 0) add('mtime', `${entry.mtime}`);
  for (const [key, value] of entry.xattrs ?? []) add(`SCHILY.xattr.${key}`, value);
  return Buffer.concat(records);
}

function fits(text: string, length: number): boolean {
  return Buffer.byteLength(text) <= length && /^[\x20-\x7e]*$/.test(text);
}

/** `length key=value\n`; the length counts its own digits. */
function record(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
}

function ustar(entry: TarInput, size: number, flag: string): Buffer {
  const block = Buffer.alloc(blockSize);
  const octal = (value: number, offset: number, length: 8 | 12): void => {
    const bounded = Math.min(Math.max(Math.floor(value), 0), largestOctal[length]);
    block.write(bounded.toString(8).padStart(length - 1, '0'), offset, 'latin1');
  };
  block.write(entry.name, 0, 100, 'utf8');
  octal(entry.mode & 0o7777, 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(entry.mtime ?? 0, 136, 12);
  block.write(flag, 156, 'latin1');
  block.write(entry.linkName ?? '', 157, 100, 'utf8');
  block.write('ustar\u000000', 257, 'latin1');
  octal(entry.major ?? 0, 329, 8);
  octal(entry.minor ?? 0, 337, 8);
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
