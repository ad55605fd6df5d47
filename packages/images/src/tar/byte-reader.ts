import { WherryError } from '@wherry/base';

/**
 * Reads exact counts of bytes from a stream of chunks, each of which need be valid only until the next one: so is what was
 * read, until more is.
 */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** `length` bytes, where they are at hand. */
  ready(length: number): Buffer | undefined {
    return this.#chunk.length >= length ? this.#take(length) : undefined;
  }

  /** `length` bytes, or `undefined` at a clean end. Throws `corrupt` when the stream ends between. */
  async read(length: number): Promise<Buffer | undefined> {
    const ready = this.ready(length);
    if (ready) return ready;
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      if (this.#chunk.length === 0 && !(await this.#fill())) {
        if (missing === length) return undefined;
        throw truncated();
      }
      const part = this.#take(Math.min(missing, this.#chunk.length));
      parts.push(Buffer.from(part));
      missing -= part.length;
    }
    return Buffer.concat(parts, length);
  }

  /** The next `length` bytes in pieces. Throws `corrupt` when the stream ends before. */
  async *pieces(length: number): AsyncGenerator<Buffer, void, undefined> {
    let missing = length;
    while (missing > 0) {
      if (this.#chunk.length === 0 && !(await this.#fill())) throw truncated();
      const part = this.#take(Math.min(missing, this.#chunk.length));
      missing -= part.length;
      yield part;
    }
  }

  /** Reads to the end and forgets it, so that whoever hashes the stream sees all of it. */
  async drain(): Promise<void> {
    this.#chunk = Buffer.alloc(0);
    while (!(await this.#source.next()).done);
  }

  /** Tells the source that no more will be read. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  #take(length: number): Buffer {
    const part = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(length);
    return part;
  }

  async #fill(): Promise<boolean> {
    for (;;) {
      const next = await this.#source.next();
      if (next.done) return false;
      const { buffer, byteOffset, byteLength } = next.value;
      this.#chunk = Buffer.from(buffer, byteOffset, byteLength);
      if (byteLength > 0) return true;
    }
  }
}

function truncated(): WherryError {
  return new WherryError('corrupt', 'unexpected EOF');
}
