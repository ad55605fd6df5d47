import { Duplex } from 'node:stream';
import { hangUp } from '../farewell.ts';
import {
  controlFrame,
  dataHeader,
  type Frame,
  FrameReader,
  flagFin,
  frameType,
  headerBlock,
  number,
  parseHeaderBlock,
  resetReason,
} from './frames.ts';
import { HeaderCodec } from './header-codec.ts';

/** One stream that the client opened. Ending it half-closes; destroying it resets. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly #connection: SpdyConnection;

  constructor(connection: SpdyConnection, id: number, headers: ReadonlyMap<string, string>) {
    super({ allowHalfOpen: true });
    this.#connection = connection;
    this.id = id;
    this.headers = headers;
  }

  override _read(): void {
    this.#connection.wanted(this);
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    this.#connection.sendData(this.id, chunk, false, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#connection.sendData(this.id, Buffer.alloc(0), true, callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#connection.forget(this, !this.writableFinished || !this.readableEnded);
    callback(error);
  }
}

/** A connection may have this many streams open. */
const mostStreams = 256;
/** Frames that wait for their turn before no more are read. */
const mostWaiting = 64;
/** What one stream may hold unread before the connection is read no further (bytes). */
const mostUnread = 256 * 1024;
/** Data goes out in frames of at most this size. */
const longestData = 64 * 1024;

/**
 * The server's side of a SPDY/3.1 connection, as far as Kubernetes' streaming uses it: streams that
 * the client opens, data, half-close, reset, ping. Flow-control windows are not kept (no client of
 * this protocol keeps them): a reader who is behind stops the reading of the whole connection.
 */
export class SpdyConnection {
  readonly #transport: Duplex;
  readonly #reader = new FrameReader();
  readonly #codec = new HeaderCodec();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #onStream: (stream: SpdyStream) => void;
  #work: Promise<void> = Promise.resolve();
  #waiting = 0;
  /** Streams whose readers are behind. */
  readonly #full = new Set<SpdyStream>();
  #lastStream = 0;
  #closed = false;
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;
  #resolveClosed!: () => void;

  constructor(transport: Duplex, onStream: (stream: SpdyStream) => void) {
    this.#transport = transport;
    this.#onStream = onStream;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    // Each stream that writes may wait for it.
    transport.setMaxListeners(mostStreams + 16);
    transport.on('data', (chunk: Buffer) => this.#take(chunk));
    transport.on('drain', () => this.#resume());
    transport.on('end', () => this.close());
    transport.on('close', () => this.close());
    transport.on('error', () => this.close());
  }

  /** Frames are handled one after the other: header blocks depend on their order. */
  #take(chunk: Buffer): void {
    if (this.#closed) return;
    let frames: Frame[];
    try {
      frames = this.#reader.read(chunk);
    } catch {
      this.close();
      return;
    }
    for (const frame of frames) {
      this.#waiting++;
      this.#work = this.#work.then(() => this.#handle(frame)).then(this.#handled, this.#broken);
    }
    if (this.#waiting > mostWaiting) this.#transport.pause();
  }

  readonly #handled = (): void => {
    this.#waiting--;
    this.#resume();
  };

  readonly #broken = (): void => {
    this.#waiting--;
    this.close();
  };

  async #handle(frame: Frame): Promise<void> {
    if (this.#closed) return;
    if (!frame.control) {
      this.#data(frame.streamId, frame.flags, frame.payload);
      return;
    }
    switch (frame.type) {
      case frameType.synStream:
        await this.#open(frame.flags, frame.payload);
        return;
      case frameType.headers:
        await this.#codec.expand(frame.payload.subarray(4));
        return;
      case frameType.rstStream: {
        const stream = this.#streams.get(frame.payload.readUInt32BE(0) & 0x7fffffff);
        this.#streams.delete(stream?.id ?? -1);
        stream?.destroy();
        return;
      }
      case frameType.ping:
        // Odd numbers are the client's: it wants them back.
        if (frame.payload.readUInt32BE(0) % 2 === 1)
          this.#answer(controlFrame(frameType.ping, 0, frame.payload.subarray(0, 4)));
        return;
      case frameType.goAway:
        if (this.#streams.size === 0) this.close();
        return;
      default:
        return;
    }
  }

  async #open(flags: number, payload: Buffer): Promise<void> {
    const id = payload.readUInt32BE(0) & 0x7fffffff;
    const headers = parseHeaderBlock(await this.#codec.expand(payload.subarray(10)));
    if (id <= this.#lastStream || id % 2 === 0) {
      this.#reset(id, resetReason.protocolError);
      return;
    }
    this.#lastStream = id;
    if (this.#streams.size >= mostStreams) {
      this.#reset(id, resetReason.refused);
      return;
    }
    const reply = Buffer.concat([number(id), await this.#codec.compress(headerBlock({}))]);
    if (this.#closed) return;
    const stream = new SpdyStream(this, id, headers);
    stream.on('error', () => undefined);
    this.#streams.set(id, stream);
    this.#answer(controlFrame(frameType.synReply, 0, reply));
    if ((flags & flagFin) !== 0) stream.push(null);
    this.#onStream(stream);
  }

  #data(id: number, flags: number, payload: Buffer): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.readableEnded) {
      if (id > this.#lastStream) this.#reset(id, resetReason.invalidStream);
      return;
    }
    if (payload.length > 0 && !stream.push(payload) && stream.readableLength > mostUnread) {
      this.#full.add(stream);
      this.#transport.pause();
    }
    if ((flags & flagFin) !== 0) stream.push(null);
  }

  #reset(id: number, reason: number): void {
    if (!this.#closed) {
      this.#answer(controlFrame(frameType.rstStream, 0, Buffer.concat([number(id), number(reason)])));
    }
  }

  /** A client who does not read the answers to its frames is not read either. */
  #answer(frame: Buffer): void {
    if (!this.#transport.write(frame)) this.#transport.pause();
  }

  /** A stream's reader has caught up. */
  wanted(stream: SpdyStream): void {
    this.#full.delete(stream);
    this.#resume();
  }

  #resume(): void {
    if (this.#closed || !this.#transport.isPaused()) return;
    const free = this.#full.size === 0 && this.#waiting <= mostWaiting && !this.#transport.writableNeedDrain;
    if (free) this.#transport.resume();
  }

  sendData(id: number, data: Buffer, last: boolean, done: (error?: Error | null) => void): void {
    if (this.#closed) {
      done(new Error('the connection is closed'));
      return;
    }
    this.#transport.cork();
    let at = 0;
    let free = true;
    do {
      const part = data.subarray(at, at + longestData);
      at += part.length;
      this.#transport.write(dataHeader(id, last && at >= data.length ? flagFin : 0, part.length));
      if (part.length > 0) free = this.#transport.write(part);
    } while (at < data.length);
    this.#transport.uncork();
    if (free) done();
    else this.#transport.once('drain', () => done());
  }

  /** Takes a stream out; resets it at the client when it was not over. */
  forget(stream: SpdyStream, unfinished: boolean): void {
    this.#full.delete(stream);
    if (!this.#streams.delete(stream.id)) return;
    if (unfinished) this.#reset(stream.id, resetReason.cancel);
    this.#resume();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stream of [...this.#streams.values()]) {
      this.#streams.delete(stream.id);
      stream.destroy();
    }
    this.#codec.close();
    hangUp(this.#transport);
    this.#resolveClosed();
  }
}
