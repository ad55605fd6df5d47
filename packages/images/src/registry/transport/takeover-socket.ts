import { closeSync } from 'node:fs';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { Duplex, type Readable } from 'node:stream';
import { duplicateDescriptor, plainDescriptorOf } from '@wherry/linux';

const readSize = 64 * 1024;

/** A connection whose rest is read by somebody else; dispose to close the descriptor. */
export interface TakenConnection extends Disposable {
  readonly descriptor: number;
  /** What of the body was read before. */
  readonly read: readonly Buffer[];
  /** Lets Node go on. */
  giveBack(): void;
}

/** A TCP connection for Node's HTTP client, whose reading can be ended at once. */
export class TakeoverSocket extends Duplex {
  readonly #inner: Socket;
  #isTaken = false;

  constructor(options: NetConnectOpts) {
    super({ allowHalfOpen: false });
    // Only so does Node stop reading when it is told, and read no more into buffers of its own.
    const onread = {
      buffer: Buffer.allocUnsafeSlow(readSize),
      callback: (count: number, buffer: Uint8Array) =>
        this.push(Buffer.from(buffer.subarray(0, count))) && !this.#isTaken,
    };
    const inner = connect({ ...options, onread } as NetConnectOpts);
    inner.on('end', () => this.push(null));
    inner.on('error', (error) => this.destroy(error));
    inner.on('close', () => this.destroy());
    for (const event of ['connect', 'timeout']) inner.on(event, () => this.emit(event));
    this.#inner = inner;
  }

  /** Ends reading, but for what a request's answer has in its buffers. `undefined` where the connection has ended. */
  async takeOver(response: Readable): Promise<TakenConnection | undefined> {
    const { timeout = 0 } = this.#inner;
    this.#isTaken = true;
    this.#inner.pause();
    this.#inner.setTimeout(0);
    const read: Buffer[] = [];
    // A pause in between gives the parser what still lies before it.
    for (let isDrained = false; !isDrained; ) {
      isDrained = this.readableLength === 0;
      await new Promise(setImmediate);
      for (let piece = response.read(); piece !== null; piece = response.read()) {
        read.push(piece);
        isDrained = false;
      }
    }
    const found = plainDescriptorOf(this.#inner);
    if (found === undefined) return undefined;
    // Node closes its own whenever the connection is destroyed.
    const descriptor = duplicateDescriptor(found);
    const giveBack = (): void => {
      this.#isTaken = false;
      this.#inner.setTimeout(timeout);
      this.#inner.resume();
    };
    return { descriptor, read, giveBack, [Symbol.dispose]: () => closeSync(descriptor) };
  }

  get connecting(): boolean {
    return this.#inner.connecting;
  }

  setTimeout(milliseconds: number, callback?: () => void): this {
    this.#inner.setTimeout(milliseconds);
    if (callback) this.once('timeout', callback);
    return this;
  }

  setNoDelay(isOn?: boolean): this {
    this.#inner.setNoDelay(isOn);
    return this;
  }

  setKeepAlive(isOn?: boolean, delay?: number): this {
    this.#inner.setKeepAlive(isOn, delay);
    return this;
  }

  ref(): this {
    this.#inner.ref();
    return this;
  }

  unref(): this {
    this.#inner.unref();
    return this;
  }

  override _read(): void {
    if (!this.#isTaken) this.#inner.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#inner.write(chunk, encoding, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#inner.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inner.destroy();
    done(error);
  }
}
