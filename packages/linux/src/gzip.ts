import { WherryError } from '@wherry/base';
import koffi from 'koffi';

/** Decompresses one gzip stream (RFC 1952), member after member, up to zeros behind them. */
export interface GzipDecoder extends Disposable {
  /** The plain content that a chunk leads to, in pieces that are valid until the next one. Throws `corrupt` in zlib's words. */
  decode(chunk: Uint8Array): Generator<Buffer, void, undefined>;
  /** Whether the stream may end where it is. */
  readonly isWhole: boolean;
}

interface Library {
  version(): string;
  init(stream: Buffer, windowBits: number, version: string, size: number): number;
  inflate(stream: Buffer, flush: number): number;
  reset(stream: Buffer): number;
  end(stream: Buffer): number;
  /** Bytes of a `z_stream`, and where its fields are. */
  readonly size: number;
  readonly offset: Readonly<Record<'nextIn' | 'availableIn' | 'nextOut' | 'availableOut' | 'message', number>>;
}

/** The largest window, and the header of gzip (zlib.h, inflateInit2). */
const windowBits = 15 + 16;
const noFlush = 0;
const ok = 0;
const streamEnd = 1;
/** Nothing is wrong, but more input is needed. */
const bufferError = -5;
const bufferSize = 256 * 1024;

let library: Library | undefined;

/**
 * A decoder by the zlib within Node, whose symbols are there for addons; `undefined` where they are not. It works at once
 * and in the same memory all the time, while Node's own streams hand each piece to another thread and back.
 */
export function gzipDecoder(): GzipDecoder | undefined {
  library ??= load();
  if (library === undefined) return undefined;
  const { version, init, inflate, reset, end, size, offset } = library;
  const stream = Buffer.alloc(size);
  if (init(stream, windowBits, version(), size) !== ok) return undefined;
  // Their addresses hold as long as they do: never is an address of somebody else's memory in the stream.
  const [input, output] = [Buffer.allocUnsafeSlow(bufferSize), Buffer.allocUnsafeSlow(bufferSize)];
  const [inputAddress, outputAddress] = [koffi.address(input), koffi.address(output)];
  let place: 'in a member' | 'between members' | 'behind the last' = 'in a member';

  /** All that the first `length` bytes of the input lead to. */
  const inflated = function* (length: number): Generator<Buffer, void, undefined> {
    stream.writeBigUInt64LE(inputAddress, offset.nextIn);
    stream.writeUInt32LE(length, offset.availableIn);
    for (;;) {
      const left = stream.readUInt32LE(offset.availableIn);
      if (place === 'between members') {
        if (left === 0) return;
        place = input[length - left] === 0 ? 'behind the last' : 'in a member';
        reset(stream);
      }
      if (place === 'behind the last') return;
      stream.writeBigUInt64LE(outputAddress, offset.nextOut);
      stream.writeUInt32LE(bufferSize, offset.availableOut);
      const result = inflate(stream, noFlush);
      if (result === bufferError) return;
      if (result === streamEnd) place = 'between members';
      else if (result !== ok)
        throw new WherryError('corrupt', String(koffi.decode(stream, offset.message, 'const char *')));
      const filled = bufferSize - stream.readUInt32LE(offset.availableOut);
      if (filled > 0) yield output.subarray(0, filled);
    }
  };

  return {
    *decode(chunk) {
      for (let at = 0; at < chunk.length; at += bufferSize) {
        const part = chunk.subarray(at, at + bufferSize);
        input.set(part);
        yield* inflated(part.length);
      }
    },
    get isWhole() {
      return place !== 'in a member';
    },
    [Symbol.dispose]: () => void end(stream),
  };
}

function load(): Library | undefined {
  const functions = loadFunctions();
  if (functions === undefined) return undefined;
  // zlib.h
  const layout = koffi.struct({
    next_in: 'void *',
    avail_in: 'uint',
    total_in: 'ulong',
    next_out: 'void *',
    avail_out: 'uint',
    total_out: 'ulong',
    msg: 'const char *',
    state: 'void *',
    zalloc: 'void *',
    zfree: 'void *',
    opaque: 'void *',
    data_type: 'int',
    adler: 'ulong',
    reserved: 'ulong',
  });
  return {
    ...functions,
    size: koffi.sizeof(layout),
    offset: {
      nextIn: koffi.offsetof(layout, 'next_in'),
      availableIn: koffi.offsetof(layout, 'avail_in'),
      nextOut: koffi.offsetof(layout, 'next_out'),
      availableOut: koffi.offsetof(layout, 'avail_out'),
      message: koffi.offsetof(layout, 'msg'),
    },
  };
}

function loadFunctions(): Omit<Library, 'size' | 'offset'> | undefined {
  try {
    const node = koffi.load(null);
    return {
      version: node.func('const char *zlibVersion(void)'),
      init: node.func('int inflateInit2_(void *stream, int windowBits, const char *version, int size)'),
      inflate: node.func('int inflate(void *stream, int flush)'),
      reset: node.func('int inflateReset(void *stream)'),
      end: node.func('int inflateEnd(void *stream)'),
    };
  } catch {
    return undefined;
  }
}
