import { isUtf8 } from 'node:buffer';
import { opendirSync, readlinkSync } from 'node:fs';
import { readdir, readlink } from 'node:fs/promises';

/**
 * A file's name as text. The kernel takes any bytes; those that are no UTF-8 stand as single surrogates (U+DC80 to U+DCFF,
 * as Python's `surrogateescape` has them), so that `bytesOfName` gives the name back.
 */
export function textOfName(name: Uint8Array): string {
  const bytes = Buffer.isBuffer(name) ? name : Buffer.from(name.buffer, name.byteOffset, name.byteLength);
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = characterAt(bytes, at);
    text += length === 0 ? String.fromCharCode(0xdc00 + bytes[at]!) : bytes.toString('utf8', at, at + length);
    at += Math.max(length, 1);
  }
  return text;
}

/** The bytes of a name that `textOfName` gave. */
export function bytesOfName(text: string): Buffer {
  if (!escaped.test(text)) return Buffer.from(text, 'utf8');
  const parts = text.split(/([\udc80-\udcff])/u);
  return Buffer.concat(
    parts.map((part) => (isEscape(part) ? Buffer.of(part.charCodeAt(0) - 0xdc00) : Buffer.from(part, 'utf8'))),
  );
}

/** A path as Node's fs takes it: as text, or as bytes where it is no text. */
export function fsPath(path: string): string | Buffer {
  return escaped.test(path) ? bytesOfName(path) : path;
}

/** The names in a folder. */
export async function readFolder(path: string): Promise<string[]> {
  return (await readdir(fsPath(path), { encoding: 'buffer' })).map(textOfName);
}

/** What is in a folder, name by name, and no more than `most`; which may be removed meanwhile. */
export function* entriesOf(
  path: Buffer,
  most = Number.POSITIVE_INFINITY,
): Generator<{ readonly name: Buffer; readonly isFolder: boolean }> {
  const folder = opendirSync(path, { encoding: 'buffer' as BufferEncoding, bufferSize: Math.min(most, 512) });
  try {
    for (let count = 0; count < most; count++) {
      const entry = folder.readSync();
      if (entry === null) return;
      // Node's types have names as text, whatever was asked for.
      yield { name: entry.name as unknown as Buffer, isFolder: entry.isDirectory() };
    }
  } finally {
    folder.closeSync();
  }
}

/** What a link says. */
export async function readLink(path: string): Promise<string> {
  return textOfName(await readlink(fsPath(path), { encoding: 'buffer' }));
}

/** The same at once. */
export function readLinkSync(path: string): string {
  return textOfName(readlinkSync(fsPath(path), { encoding: 'buffer' }));
}

/** With `u`, halves of a pair do not match. */
const escaped = /[\udc80-\udcff]/u;

function isEscape(part: string): boolean {
  return part.length === 1 && escaped.test(part);
}

/** How long the UTF-8 character at a place is; 0 for none. */
function characterAt(bytes: Buffer, at: number): number {
  const first = bytes[at]!;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  return length > 0 && at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 0;
}
