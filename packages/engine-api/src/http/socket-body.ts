import { closeSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { WherryError } from '@wherry/base';
import { type BodyFraming, type ConnectionBody, type TakenBody, unframed } from '@wherry/images';
import { duplicateDescriptor, plainDescriptorOf } from '@wherry/linux';
import { piecesOf } from './hijackable-requests.ts';

/** What Node's sockets have within: it can be told to stop reading at once only so. */
interface Handle {
  reading: boolean;
  readStart(): void;
  readStop(): void;
}

/** The body of a long request that the parser has let go of: read here, or by a thread from the connection itself. */
export class SocketBody extends Readable implements ConnectionBody {
  readonly #socket: Socket;
  readonly #request: IncomingMessage;
  #pieces: AsyncIterator<Buffer> | undefined;
  #isTaken = false;

  constructor(request: IncomingMessage, socket: Socket) {
    super({ highWaterMark: 256 * 1024 });
    this.#request = request;
    this.#socket = socket;
    // The parser would have done so.
    if (/^100-continue$/i.test(request.headers.expect ?? '')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
  }

  takeOver(): TakenBody | undefined {
    const descriptor = plainDescriptorOf(this.#socket);
    if (descriptor === undefined || this.#pieces !== undefined || this.#isTaken || this.#socket.readableEnded) {
      return undefined;
    }
    const framing = framingOf(this.#request);
    const read: Buffer[] = [];
    const handle = (this.#socket as unknown as { readonly _handle: Handle })._handle;
    // Each look into the empty buffer begins to read anew, which nothing comes of until the event loop turns.
    for (let piece = this.#socket.read(); piece !== null; piece = this.#socket.read()) read.push(piece as Buffer);
    handle.reading = false;
    handle.readStop();
    this.#isTaken = true;
    const own = duplicateDescriptor(descriptor);
    let isOver = false;
    const end = (): boolean => {
      if (isOver) return false;
      isOver = true;
      closeSync(own);
      if (this.#socket.destroyed) return false;
      handle.reading = true;
      handle.readStart();
      return true;
    };
    return {
      descriptor: own,
      read: Buffer.concat(read),
      framing,
      giveBack: () => {
        this.#isTaken = false;
        if (end() && read.length > 0) this.#socket.unshift(Buffer.concat(read));
      },
      // What still comes is looked at only for its end.
      [Symbol.dispose]: () => {
        if (end()) this.#socket.resume();
      },
    };
  }

  override _read(): void {
    this.#next().then(
      (piece) => this.push(piece),
      (error: Error) => this.destroy(error),
    );
  }

  async #next(): Promise<Buffer | null> {
    this.#pieces ??= unframed(piecesOf(this.#socket), framingOf(this.#request))[Symbol.asyncIterator]();
    const next = await this.#pieces.next();
    if (!next.done) return next.value;
    this.#socket.resume();
    return null;
  }
}

function framingOf({ headers }: IncomingMessage): BodyFraming {
  if (headers['transfer-encoding'] !== undefined) return 'chunked';
  const length = Number(headers['content-length'] ?? 0);
  if (!Number.isSafeInteger(length) || length < 0) throw new WherryError('invalid', 'bad Content-Length');
  return length;
}
