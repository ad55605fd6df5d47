import { PassThrough, Writable } from 'node:stream';
import type { WebSocket } from 'ws';

/** v5's signal that a channel is closed: `[255, channel]`. */
const closeSignal = 255;

/**
 * Several byte streams in one WebSocket, told apart by the first byte of each message
 * (`*.channel.k8s.io`); the base64 forms carry text, with the channel as a digit.
 */
export class ChannelSocket {
  readonly #socket: WebSocket;
  readonly #base64: boolean;
  readonly #inputs = new Map<number, PassThrough>();
  /** Aborted when the client is gone. */
  readonly #gone = new AbortController();

  constructor(socket: WebSocket, protocol: string) {
    this.#socket = socket;
    this.#base64 = protocol.includes('base64');
    socket.on('message', (data: Buffer) => this.#receive(data));
    socket.on('close', () => this.#end());
    socket.on('error', () => this.#end());
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  #receive(message: Buffer): void {
    if (message.length === 0) return;
    const first = message[0]!;
    if (first === closeSignal && !this.#base64) {
      this.#inputs.get(message[1] ?? -1)?.end();
      return;
    }
    const channel = this.#base64 ? first - 0x30 : first;
    const input = this.#inputs.get(channel);
    // Nobody reads a channel whose command has closed its input: what still comes is dropped, not waited for.
    if (input === undefined || input.writableEnded || input.destroyed) return;
    const payload = message.subarray(1);
    const data = this.#base64 ? Buffer.from(payload.toString('latin1'), 'base64') : payload;
    if (data.length > 0 && !input.write(data)) {
      this.#socket.pause();
      const resume = (): void => {
        input.off('drain', resume).off('close', resume);
        this.#socket.resume();
      };
      input.on('drain', resume).on('close', resume);
    }
  }

  #end(): void {
    for (const input of this.#inputs.values()) input.end();
    this.#gone.abort();
  }

  /** What the client sends on a channel. */
  input(channel: number): PassThrough {
    const input = new PassThrough();
    this.#inputs.set(channel, input);
    return input;
  }

  /** Sends one message; resolves when it is handed to the system. */
  send(channel: number, data: Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.readyState !== this.#socket.OPEN) {
        resolve();
        return;
      }
      const body = this.#base64
        ? `${channel}${data.toString('base64')}`
        : Buffer.concat([Buffer.from([channel]), data]);
      this.#socket.send(body, { binary: !this.#base64 }, () => resolve());
    });
  }

  /** A stream whose writes become messages of a channel. */
  output(channel: number): Writable {
    return new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        this.send(channel, chunk).then(() => callback(), callback);
      },
    });
  }

  close(): void {
    this.#socket.close(1000);
  }
}
