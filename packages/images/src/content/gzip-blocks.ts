import { promisify } from 'node:util';
import { constants, crc32, deflateRaw } from 'node:zlib';
import { type Run, runsOf } from './compressible.ts';

const deflate = promisify<Buffer, object, Buffer>(deflateRaw);

const blockSize = 1024 * 1024;
/** How far back deflate refers. */
const windowSize = 32 * 1024;
const level = 3;
/** No name, no time, of an unknown system (RFC 1952, 2.3). */
const header = Buffer.from('1f8b08000000000000ff', 'hex');
/** The last block of a deflate stream, empty (RFC 1951, 3.2.6). */
const end = Buffer.from([3, 0]);
const largestStored = 65535;

/**
 * gzip of what `read` fills buffers with, until it gives 0. Blocks are deflated `parallel` at a time on libuv's threads,
 * each with the end of the one before as its dictionary and flushed to a whole byte; what looks random is stored as it
 * is. The bytes are the same however many there are at a time. What it yields is valid until the next parts are asked for.
 */
export async function* gzipBlocks(
  read: (into: Buffer) => number,
  parallel: number,
): AsyncGenerator<readonly Buffer[], void, undefined> {
  const waiting: Promise<Buffer[]>[] = [];
  // One for each block under way, and one whose parts the consumer has.
  const buffers = Array.from({ length: parallel + 1 }, () => Buffer.allocUnsafeSlow(windowSize + blockSize));
  let [sum, size] = [0, 0];
  let window = Buffer.alloc(0);
  yield [header];
  try {
    for (let turn = 0; ; turn++) {
      const buffer = buffers[turn % buffers.length]!;
      window.copy(buffer);
      const length = read(buffer.subarray(window.length, window.length + blockSize));
      if (length === 0) break;
      const content = buffer.subarray(0, window.length + length);
      sum = crc32(content.subarray(window.length), sum);
      size += length;
      const work = deflateBlock(content, window.length);
      work.catch(() => undefined);
      waiting.push(work);
      window = content.subarray(Math.max(0, content.length - windowSize));
      if (waiting.length >= parallel) yield await waiting.shift()!;
    }
    while (waiting.length > 0) yield await waiting.shift()!;
  } finally {
    await Promise.allSettled(waiting);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(sum, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield [end, trailer];
}

async function deflateBlock(content: Buffer, start: number): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  for (const run of runsOf(content, start)) {
    if (run.isRandom) parts.push(...stored(content.subarray(run.start, run.end)));
    else parts.push(await deflateRun(content, run));
  }
  return parts;
}

async function deflateRun(content: Buffer, { start, end }: Run): Promise<Buffer> {
  return await deflate(content.subarray(start, end), {
    level,
    memLevel: 9,
    // In one piece, also where it does not shrink.
    chunkSize: Math.ceil((end - start) * 1.01) + 64,
    finishFlush: constants.Z_SYNC_FLUSH,
    ...(start > 0 && { dictionary: content.subarray(Math.max(0, start - windowSize), start) }),
  });
}

/** Blocks that are not compressed (RFC 1951, 3.2.4). */
function stored(content: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < content.length; at += largestStored) {
    const piece = content.subarray(at, at + largestStored);
    const length = Buffer.alloc(5);
    length.writeUInt16LE(piece.length, 1);
    length.writeUInt16LE(piece.length ^ 0xffff, 3);
    parts.push(length, piece);
  }
  return parts;
}
