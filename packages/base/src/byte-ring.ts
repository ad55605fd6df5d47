import { cancelled } from './async.ts';

/** Bytes on their way from one thread to another. */
const ringSize = 4 * 1024 * 1024;
/** A reader is woken for so many, or when the writer has nothing more at the moment. */
const batch = 256 * 1024;
const pieceSize = 256 * 1024;
/** Milliseconds that a reader waits with its whole thread: most of what comes comes sooner, and costs less so. */
const shortWait = 5;

/** Cells before the bytes. Counts of bytes are modulo 2 ** 32. */
const written = 0;
const taken = 1;
const ending = 2;
/** Changed with each news for the reader, and for the writer. */
const news = 3;
const room = 4;
const headerSize = 64;
const isWhole = 1;
const isFailed = 2;

/** A stream of bytes for another thread (`readRing`), through memory that both have. One writer, one reader. */
export class ByteRing {
  readonly shared = new SharedArrayBuffer(headerSize + ringSize);
  readonly #cells = new Int32Array(this.shared, 0, headerSize / 4);
  readonly #bytes = Buffer.from(this.shared, headerSize);
  #written = 0;
  #isClosed = false;
  #telling: NodeJS.Immediate | undefined;

  /** Puts in what there is room for of a piece; gives the rest. */
  put(piece: Uint8Array): Uint8Array {
    const length = Math.min(piece.length, ringSize - this.#waiting());
    const at = this.#written % ringSize;
    const toEnd = Math.min(length, ringSize - at);
    copy(piece.subarray(0, toEnd), this.#bytes, at);
    copy(piece.subarray(toEnd, length), this.#bytes, 0);
    this.#written = (this.#written + length) >>> 0;
    Atomics.store(this.#cells, written, this.#written);
    if (this.#waiting() >= batch) this.#tell();
    else this.#telling ??= setImmediate(() => this.#tell());
    return piece.subarray(length);
  }

  /** Resolves once half of it is free, or it is closed. */
  async room(): Promise<void> {
    for (;;) {
      const seen = Atomics.load(this.#cells, room);
      if (this.#isClosed || this.#waiting() <= ringSize / 2) return;
      await Atomics.waitAsync(this.#cells, room, seen).value;
    }
  }

  /** There is no more. */
  end(): void {
    this.#finish(isWhole);
  }

  /** There is no more, and what came is not all. */
  fail(): void {
    this.#finish(isFailed);
  }

  /** Nobody reads any more. */
  close(): void {
    this.#isClosed = true;
    clearImmediate(this.#telling);
    Atomics.add(this.#cells, room, 1);
    Atomics.notify(this.#cells, room);
  }

  #waiting(): number {
    return (this.#written - Atomics.load(this.#cells, taken)) >>> 0;
  }

  #finish(how: number): void {
    Atomics.compareExchange(this.#cells, ending, 0, how);
    this.#tell();
  }

  #tell(): void {
    clearImmediate(this.#telling);
    this.#telling = undefined;
    Atomics.add(this.#cells, news, 1);
    Atomics.notify(this.#cells, news);
  }
}

export interface ReadRingOptions {
  /** Pieces are valid only until the next one is asked for. */
  readonly isReused?: boolean | undefined;
}

/** What the writer of a `ByteRing` puts into it. Throws `cancelled` where it fails. */
export async function* readRing(
  shared: SharedArrayBuffer,
  { isReused = false }: ReadRingOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  const cells = new Int32Array(shared, 0, headerSize / 4);
  const bytes = Buffer.from(shared, headerSize);
  const own = isReused ? Buffer.allocUnsafeSlow(pieceSize) : undefined;
  for (let position = 0; ; ) {
    const seen = Atomics.load(cells, news);
    // Before the count: behind an end there is nothing more.
    const end = Atomics.load(cells, ending);
    if (end === isFailed) throw cancelled();
    const there = (Atomics.load(cells, written) - position) >>> 0;
    if (there === 0) {
      if (end === isWhole) return;
      if (Atomics.wait(cells, news, seen, shortWait) === 'timed-out') {
        await Atomics.waitAsync(cells, news, seen).value;
      }
      continue;
    }
    const at = position % ringSize;
    const length = Math.min(there, ringSize - at, pieceSize);
    const piece = own ? own.subarray(0, length) : Buffer.allocUnsafe(length);
    copy(bytes.subarray(at, at + length), piece, 0);
    position = (position + length) >>> 0;
    Atomics.store(cells, taken, position);
    if (there - length <= ringSize / 2) {
      Atomics.add(cells, room, 1);
      Atomics.notify(cells, room);
    }
    yield piece;
  }
}

/** `set` and `copy` treat shared memory word by word, which takes several times as long. */
function copy(from: Uint8Array, to: Buffer, at: number): void {
  if (from.length > 0) to.fill(from, at, at + from.length);
}
