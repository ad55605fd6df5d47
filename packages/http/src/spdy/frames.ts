/** Frame types of SPDY/3.1 (draft 3.1, section 2.6). */
export const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

export const flagFin = 1;

/** Reasons of RST_STREAM. */
export const resetReason = { protocolError: 1, invalidStream: 2, refused: 3, cancel: 5, internalError: 6 } as const;

const version = 3;
const headerSize = 8;

export type Frame =
  | { readonly control: true; readonly type: number; readonly flags: number; readonly payload: Buffer }
  | { readonly control: false; readonly streamId: number; readonly flags: number; readonly payload: Buffer };

interface OpenFrame {
  readonly streamId: number;
  readonly flags: number;
  missing: number;
}

/**
 * Cuts a byte stream into frames. A data frame comes in the pieces in which it arrived, its flags with
 * the last one, so that a frame of 16 MiB is never held. Throws on another version or a control frame
 * above the limit.
 */
export class FrameReader {
  #buffered: Buffer = Buffer.alloc(0);
  /** The data frame that is arriving. */
  #open: OpenFrame | undefined;
  readonly #longestControl: number;

  constructor(longestControl = 64 * 1024) {
    this.#longestControl = longestControl;
  }

  /** The frames, and pieces of data frames, that these bytes bring. */
  read(chunk: Buffer): Frame[] {
    let buffer = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
    const frames: Frame[] = [];
    for (;;) {
      if (this.#open !== undefined) {
        if (buffer.length === 0) break;
        buffer = this.#piece(this.#open, buffer, frames);
        continue;
      }
      if (buffer.length < headerSize) break;
      const first = buffer.readUInt32BE(0);
      const flags = buffer[4]!;
      const length = buffer.readUIntBE(5, 3);
      const control = first >>> 31 === 1;
      if (control && (((first >>> 16) & 0x7fff) !== version || length > this.#longestControl)) {
        throw new Error('not a SPDY/3 control frame');
      }
      if (!control && length > 0) {
        this.#open = { streamId: first & 0x7fffffff, flags, missing: length };
        buffer = buffer.subarray(headerSize);
        continue;
      }
      if (buffer.length < headerSize + length) break;
      const payload = buffer.subarray(headerSize, headerSize + length);
      frames.push(
        control
          ? { control, type: first & 0xffff, flags, payload }
          : { control, streamId: first & 0x7fffffff, flags, payload },
      );
      buffer = buffer.subarray(headerSize + length);
    }
    this.#buffered = buffer;
    return frames;
  }

  /** Takes what there is of the open data frame; gives the rest of the bytes. */
  #piece(open: OpenFrame, buffer: Buffer, frames: Frame[]): Buffer {
    const payload = buffer.subarray(0, open.missing);
    open.missing -= payload.length;
    const whole = open.missing === 0;
    frames.push({ control: false, streamId: open.streamId, flags: whole ? open.flags : 0, payload });
    if (whole) this.#open = undefined;
    return buffer.subarray(payload.length);
  }
}

/** A control frame's bytes. */
export function controlFrame(type: number, flags: number, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(headerSize + payload.length);
  frame.writeUInt32BE((0x80000000 | (version << 16) | type) >>> 0, 0);
  frame[4] = flags;
  frame.writeUIntBE(payload.length, 5, 3);
  payload.copy(frame, headerSize);
  return frame;
}

/** The header of a data frame; its payload follows. */
export function dataHeader(streamId: number, flags: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(headerSize);
  header.writeUInt32BE(streamId, 0);
  header[4] = flags;
  header.writeUIntBE(length, 5, 3);
  return header;
}

/** Name and value pairs of a decompressed header block; names are lower case. Throws when it is cut short. */
export function parseHeaderBlock(block: Buffer): Map<string, string> {
  const headers = new Map<string, string>();
  let at = 0;
  const text = (): string => {
    const length = block.readUInt32BE(at);
    at += 4;
    if (at + length > block.length) throw new Error('a SPDY header block is cut short');
    const value = block.toString('utf8', at, at + length);
    at += length;
    return value;
  };
  const count = block.readUInt32BE(0);
  at = 4;
  for (let index = 0; index < count; index++) headers.set(text().toLowerCase(), text());
  return headers;
}

/** The uncompressed form of a header block. */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(headers);
  const parts: Buffer[] = [number(entries.length)];
  for (const [name, value] of entries) {
    for (const part of [Buffer.from(name), Buffer.from(value)]) parts.push(number(part.length), part);
  }
  return Buffer.concat(parts);
}

/** A 32-bit number in network order. */
export function number(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
