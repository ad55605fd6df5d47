/** Streams of a frame, as docker's stdcopy numbers them. */
export const frameStreams = { stdin: 0, stdout: 1, stderr: 2 } as const;
export type FrameStream = keyof typeof frameStreams;

const headerLength = 8;

/** `[stream, 0, 0, 0, length as 32 bits]`: what stands before the content of a frame. */
export function frameHeader(stream: FrameStream, length: number): Buffer {
  const header = Buffer.alloc(headerLength);
  header[0] = frameStreams[stream];
  header.writeUInt32BE(length, 4);
  return header;
}

/** A whole frame. */
export function frame(stream: FrameStream, content: Uint8Array): Buffer {
  return Buffer.concat([frameHeader(stream, content.length), content]);
}

export interface Frame {
  readonly stream: FrameStream;
  readonly content: Buffer;
}

/** Takes frames out of a stream that comes in pieces of any size. Throws on what is no frame. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  readonly #longest: number;

  constructor(longest = 64 * 1024 * 1024) {
    this.#longest = longest;
  }

  /** The frames that are whole with this piece. */
  push(piece: Uint8Array): Frame[] {
    let data = this.#rest.length === 0 ? Buffer.from(piece) : Buffer.concat([this.#rest, piece]);
    const frames: Frame[] = [];
    while (data.length >= headerLength) {
      const length = data.readUInt32BE(4);
      const stream = (['stdin', 'stdout', 'stderr'] as const)[data[0]!];
      if (stream === undefined || data[1] !== 0 || data[2] !== 0 || data[3] !== 0) {
        throw new Error(`not a frame: ${data.toString('hex', 0, headerLength)}`);
      }
      if (length > this.#longest) throw new Error(`a frame of ${length} bytes is too long`);
      if (data.length < headerLength + length) break;
      frames.push({ stream, content: data.subarray(headerLength, headerLength + length) });
      data = data.subarray(headerLength + length);
    }
    this.#rest = data;
    return frames;
  }

  /** Bytes of a frame that is not whole yet. */
  get pending(): number {
    return this.#rest.length;
  }
}
