import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { WherryError } from '@wherry/base';

const gzip = [0x1f, 0x8b];
const others: readonly (readonly [name: string, magic: readonly number[]])[] = [
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
];

/** The plain archive of one that may be compressed by gzip. Throws `unsupported` for other compressions. */
export async function* plainArchive(archive: Readable): AsyncGenerator<Uint8Array, void, undefined> {
  const source = archive[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let start: Buffer = Buffer.alloc(0);
  while (start.length < 6) {
    const next = await source.next();
    if (next.done) break;
    start = Buffer.concat([start, next.value]);
  }
  const begins = (magic: readonly number[]): boolean => magic.every((byte, at) => start[at] === byte);
  const other = others.find(([, magic]) => begins(magic));
  if (other) throw new WherryError('unsupported', `archives compressed by ${other[0]} are not supported`);
  if (!begins(gzip)) {
    yield* whole(start, source);
    return;
  }
  const plain = createGunzip();
  const feeding = (async () => {
    for await (const chunk of whole(start, source)) {
      if (plain.destroyed) return;
      if (!plain.write(chunk)) await new Promise((resolve) => plain.once('drain', resolve).once('close', resolve));
    }
    plain.end();
  })();
  feeding.catch((error: Error) => plain.destroy(error));
  try {
    yield* plain;
  } catch (error) {
    if (String((error as { code?: unknown }).code).startsWith('Z_')) {
      throw new WherryError('corrupt', 'the archive is not whole gzip data', { cause: error });
    }
    throw error;
  } finally {
    plain.destroy();
  }
}

async function* whole(start: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  try {
    if (start.length > 0) yield start;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
