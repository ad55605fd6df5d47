import { promisify } from 'node:util';
import { WherryError } from '@wherry/base';
import koffi from 'koffi';
import { optionalLibrary } from './optional-library.ts';

// Intel's library of storage algorithms, which works on callers' structures: what stands where in them is its binary
// interface, the same in all of libisal.so.2 (igzip_lib.h). It is several times as fast as zlib.

/** Compresses pieces of a deflate stream (RFC 1951), one at a time. */
export interface Deflater {
  /**
   * Blocks of which none is the last, up to a whole byte; valid until the next call. On a thread of libuv's. They may
   * refer to the last `windowSize` bytes of `history`, which is what the stream has right before them. It may change once
   * this has returned.
   */
  deflate(content: Uint8Array, history: Uint8Array): Promise<Buffer>;
}

/** How far back deflate refers (RFC 1951, 2). */
export const windowSize = 32 * 1024;

interface Library {
  readonly init: (stream: Buffer) => void;
  /** Copies what it gets. */
  readonly setHistory: (stream: Buffer, history: Uint8Array, length: number) => number;
  readonly deflate: (stream: Buffer) => Promise<number>;
}

/** `struct isal_zstream`, and more than it is long, which is some 80 kB. */
const stateSize = 128 * 1024;
const offsets = {
  ...{ input: 0, inputLength: 8, output: 16, outputRoom: 24, outputLength: 28 },
  ...{ level: 40, tablesSize: 44, tables: 48, flush: 58 },
};
const fullFlush = 2;
/** Of 1 to 3: programs come out 2 % larger than at 3, in 0.6 of the time. */
const level = 2;
/** ISAL_DEF_LVL2_DEFAULT. */
const tablesSize = 331_776;
/** For each 64 kB that are stored, and once (RFC 1951, 3.2.4). */
const largestHeader = 16;
/**
 * So many bytes at the start of a stream are stored, and are the history of what follows. Without any, ISA-L 2.30 takes
 * a part of its structure's address for content when it hashes, so that the same content would now and then become
 * other blocks, which are as right but have another digest.
 */
const storedStart = 8;

const library = optionalLibrary('libisal.so.2', (isal): Library => {
  const deflate = isal.func('int isal_deflate(void *stream)');
  return {
    init: isal.func('void isal_deflate_init(void *stream)'),
    setHistory: isal.func('int isal_deflate_set_dict(void *stream, void *dictionary, uint32_t length)'),
    deflate: promisify(deflate.async) as Library['deflate'],
  };
});

/** For pieces of up to `largest` bytes; `undefined` where the host has no ISA-L. */
export function isalDeflater(largest: number): Deflater | undefined {
  const isal = library();
  if (isal === undefined) return undefined;
  const { init, setHistory, deflate } = isal;
  const stream = Buffer.alloc(stateSize);
  const tables = Buffer.allocUnsafeSlow(tablesSize);
  const output = Buffer.allocUnsafeSlow(largest + largestHeader * Math.ceil(1 + largest / 65_535));
  return {
    async deflate(content, history) {
      const isFirst = history.length === 0;
      const before = isFirst ? content.subarray(0, storedStart) : history.subarray(-windowSize);
      const start = isFirst ? writeStored(output, before) : 0;
      const rest = content.subarray(isFirst ? before.length : 0);
      if (rest.length === 0) return output.subarray(0, start);
      const room = output.subarray(start);
      init(stream);
      stream.writeBigUInt64LE(koffi.address(rest), offsets.input);
      stream.writeUInt32LE(rest.length, offsets.inputLength);
      stream.writeBigUInt64LE(koffi.address(room), offsets.output);
      stream.writeUInt32LE(room.length, offsets.outputRoom);
      stream.writeUInt32LE(level, offsets.level);
      stream.writeBigUInt64LE(koffi.address(tables), offsets.tables);
      stream.writeUInt32LE(tables.length, offsets.tablesSize);
      stream.writeUInt16LE(fullFlush, offsets.flush);
      const code = setHistory(stream, before, before.length) || (await deflate(stream));
      const left = stream.readUInt32LE(offsets.inputLength);
      if (code !== 0 || left !== 0)
        throw new WherryError('internal', `isal_deflate of ${rest.length} bytes: ${code}, ${left} are left`);
      return output.subarray(0, start + stream.readUInt32LE(offsets.outputLength));
    },
  };
}

/** A block of `content` as it is, which is not the last (RFC 1951, 3.2.4). Gives its length. */
function writeStored(into: Buffer, content: Uint8Array): number {
  into[0] = 0;
  into.writeUInt16LE(content.length, 1);
  into.writeUInt16LE(0xffff - content.length, 3);
  into.set(content, 5);
  return 5 + content.length;
}
