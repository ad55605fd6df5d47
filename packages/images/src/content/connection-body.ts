import { WherryError } from '@wherry/base';

/** How HTTP frames a body: so many bytes, or chunks (RFC 9112, 6 and 7.1). */
export type BodyFraming = number | 'chunked';

/** A body whose rest is read from its connection by somebody else; dispose to give the connection back, whatever was read. */
export interface TakenBody extends Disposable {
  readonly descriptor: number;
  /** What was read of it before, framing included. */
  readonly read: Buffer;
  readonly framing: BodyFraming;
  /** Gives all of it back, as if it had not been taken: nothing was read. */
  giveBack(): void;
}

/** A body that a thread may read by itself. */
export interface ConnectionBody extends AsyncIterable<Uint8Array> {
  /** `undefined` where somebody reads it, or the connection has ended. */
  takeOver(): TakenBody | undefined;
}

export function isConnectionBody(source: AsyncIterable<Uint8Array>): source is ConnectionBody {
  return 'takeOver' in source;
}

const longestLine = 4096;

/**
 * A body without its framing, to its end and no further: what stands behind it is not asked for. What is framing is taken out
 * of the source's pieces where they are, and they are valid as long. Throws `corrupt` for what ends early, `invalid` for
 * what is no such body.
 */
export async function* unframed(
  source: AsyncIterable<Buffer>,
  framing: BodyFraming,
): AsyncGenerator<Buffer, void, undefined> {
  const body = new FramedBody(framing);
  if (body.isWhole) return;
  for await (const piece of source) {
    const content = body.take(piece);
    if (content.length > 0) yield content;
    if (body.isWhole) return;
  }
  throw new WherryError('corrupt', 'unexpected EOF');
}

/** What comes next: the length of a chunk, content, the end of a chunk's line, lines behind the last chunk, nothing. */
type Expected = 'size' | 'content' | 'lineEnd' | 'trailer' | 'nothing';

class FramedBody {
  readonly #isChunked: boolean;
  #expected: Expected;
  /** Of the content that comes. */
  #missing: number;
  /** What there is of a line. */
  #line = '';

  constructor(framing: BodyFraming) {
    this.#isChunked = framing === 'chunked';
    this.#missing = framing === 'chunked' ? 0 : framing;
    this.#expected = framing === 'chunked' ? 'size' : framing === 0 ? 'nothing' : 'content';
  }

  get isWhole(): boolean {
    return this.#expected === 'nothing';
  }

  /** Gives what of a piece is content, moved together. */
  take(piece: Buffer): Buffer {
    let length = 0;
    for (let at = 0; at < piece.length && !this.isWhole; ) {
      if (this.#expected !== 'content') {
        at = this.#takeLine(piece, at);
        continue;
      }
      const count = Math.min(this.#missing, piece.length - at);
      if (at !== length) piece.copyWithin(length, at, at + count);
      length += count;
      at += count;
      this.#missing -= count;
      if (this.#missing === 0) this.#expected = this.#isChunked ? 'lineEnd' : 'nothing';
    }
    return piece.subarray(0, length);
  }

  /** Gives where it ends. */
  #takeLine(piece: Buffer, from: number): number {
    const end = piece.indexOf(0x0a, from);
    this.#line += piece.toString('latin1', from, end < 0 ? piece.length : end);
    if (this.#line.length > longestLine) throw malformed();
    if (end < 0) return piece.length;
    this.#hear(this.#line.replace(/\r$/, ''));
    this.#line = '';
    return end + 1;
  }

  #hear(line: string): void {
    if (this.#expected === 'size') {
      const size = /^([0-9a-f]{1,12})[ \t]*(?:;|$)/i.exec(line)?.[1];
      if (size === undefined) throw malformed();
      this.#missing = Number.parseInt(size, 16);
      this.#expected = this.#missing === 0 ? 'trailer' : 'content';
    } else if (line === '') this.#expected = this.#expected === 'lineEnd' ? 'size' : 'nothing';
    else if (this.#expected === 'lineEnd') throw malformed();
  }
}

function malformed(): WherryError {
  return new WherryError('invalid', 'malformed chunked encoding');
}
