import { WherryError } from '@wherry/base';
import koffi from 'koffi';
import { optionalLibrary } from './optional-library.ts';

/** Decompresses one zstd stream (RFC 8878), frame after frame. */
export interface ZstdDecoder extends Disposable {
  /** The plain content that a chunk leads to, in pieces that are valid until the next call. Throws `corrupt`. */
  decode(chunk: Uint8Array): Generator<Buffer, void, undefined>;
  /** Throws `corrupt` when the stream ended in the middle. */
  end(): void;
}

interface Library {
  create(): unknown;
  free(stream: unknown): void;
  reset(stream: unknown, parameter: number, value: number): number;
  decompress(stream: unknown, output: ZstdBuffer, input: ZstdBuffer): number | bigint;
  isError(code: number | bigint): number;
  errorName(code: number | bigint): string;
}

interface ZstdBuffer {
  data: unknown;
  size: number;
  position: number;
}

const pieceSize = 256 * 1024;
/** ZSTD_d_windowLogMax, and 128 MiB as the largest window: what the `zstd` program takes by default. */
const windowLogMax = 100;
const largestWindowLog = 27;

const library = optionalLibrary('libzstd.so.1', (zstd): Library => {
  const buffer = koffi.struct({ data: 'void *', size: 'size_t', position: 'size_t' });
  return {
    create: zstd.func('void *ZSTD_createDStream(void)'),
    free: zstd.func('size_t ZSTD_freeDStream(void *stream)'),
    reset: zstd.func('size_t ZSTD_DCtx_setParameter(void *stream, int parameter, int value)'),
    decompress: zstd.func('ZSTD_decompressStream', 'size_t', [
      'void *',
      koffi.inout(koffi.pointer(buffer)),
      koffi.inout(koffi.pointer(buffer)),
    ]),
    isError: zstd.func('unsigned int ZSTD_isError(size_t code)'),
    errorName: zstd.func('const char *ZSTD_getErrorName(size_t code)'),
  };
});

/** A decoder by the host's libzstd; `undefined` where there is none. */
export function zstdDecoder(): ZstdDecoder | undefined {
  const zstd = library();
  if (zstd === undefined) return undefined;
  const { create, free, reset, decompress, isError, errorName } = zstd;
  const stream = create();
  reset(stream, windowLogMax, largestWindowLog);
  const output = Buffer.allocUnsafe(pieceSize);
  let isMidway = false;
  return {
    *decode(chunk) {
      const input: ZstdBuffer = { data: chunk, size: chunk.length, position: 0 };
      let isFull = false;
      while (input.position < chunk.length || isFull) {
        const into: ZstdBuffer = { data: output, size: pieceSize, position: 0 };
        const result = decompress(stream, into, input);
        if (isError(result) !== 0) throw new WherryError('corrupt', `invalid zstd data: ${errorName(result)}`);
        isMidway = Number(result) !== 0;
        input.position = Number(input.position);
        const filled = Number(into.position);
        // What did not fit comes with the next call; more than was filled there is not.
        isFull = filled === pieceSize;
        if (filled > 0) yield output.subarray(0, filled);
      }
    },
    end() {
      if (isMidway) throw new WherryError('corrupt', 'unexpected EOF');
    },
    [Symbol.dispose]: () => free(stream),
  };
}
