import { promisify } from 'node:util';
import { constants, crc32, deflateRaw } from 'node:zlib';
import { type Deflater, isalDeflater, windowSize } from '@wherry/linux';

const blockSize = 1024 * 1024;
/** No name, no time, of an unknown system (RFC 1952, 2.3). */
const header = Buffer.from('1f8b08000000000000ff', 'hex');
/** The last block of a deflate stream, empty (RFC 1951, 3.2.6). */
const end = Buffer.from([3, 0]);

/** A block's content, and the one that makes it smaller. */
interface Lane {
  readonly content: Buffer;
  readonly deflater: Deflater;
}

/**
 * gzip of what `read` fills buffers with, until it gives 0. Blocks are deflated `parallel` at a time on libuv's threads,
 * each with the end of the one before as its history. The bytes are the same however many there are at a time; they
 * depend on the host's library, which is ISA-L if there is one. What it yields is valid until the next parts are asked
 * for.
 */
export async function* gzipBlocks(
  read: (into: Buffer) => number,
  parallel: number,
  deflaterFor: (largest: number) => Deflater = (largest) => isalDeflater(largest) ?? zlibDeflater(largest),
): AsyncGenerator<readonly Buffer[], void, undefined> {
  const waiting: Promise<Buffer>[] = [];
  // One for each block under way, and one whose parts the consumer has.
  const lanes = Array.from(
    { length: parallel + 1 },
    (): Lane => ({ content: Buffer.allocUnsafeSlow(blockSize), deflater: deflaterFor(blockSize) }),
  );
  let [sum, size] = [0, 0];
  // The block before, of a lane that is not filled again until the next turn.
  let history: Uint8Array = Buffer.alloc(0);
  yield [header];
  try {
    for (let turn = 0; ; turn++) {
      const { content, deflater } = lanes[turn % lanes.length]!;
      const length = read(content);
      if (length === 0) break;
      const block = content.subarray(0, length);
      sum = crc32(block, sum);
      size += length;
      const work = deflater.deflate(block, history);
      work.catch(() => undefined);
      history = block;
      waiting.push(work);
      if (waiting.length >= parallel) yield [await waiting.shift()!];
    }
    while (waiting.length > 0) yield [await waiting.shift()!];
  } finally {
    await Promise.allSettled(waiting);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(sum, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield [end, trailer];
}

const deflate = promisify<Uint8Array, object, Buffer>(deflateRaw);
const level = 3;

/** For pieces of up to `largest` bytes. */
export function zlibDeflater(largest: number): Deflater {
  // In one piece, also where it does not shrink.
  const chunkSize = Math.ceil(largest * 1.01) + 64;
  return {
    deflate: (content, history) =>
      deflate(content, {
        ...{ level, memLevel: 9, chunkSize, finishFlush: constants.Z_SYNC_FLUSH },
        ...(history.length > 0 && { dictionary: history.subarray(-windowSize) }),
      }),
  };
}
