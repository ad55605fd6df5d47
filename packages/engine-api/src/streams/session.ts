import type { Duplex, Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { AttachedStreams } from '@wherry/docker';
import { hangUp } from '@wherry/http';
import { drained } from '../http/drained.ts';
import { type FrameStream, frameHeader } from './frames.ts';

export interface SessionOptions {
  /** Output in frames; otherwise both streams as they come. */
  readonly framed: boolean;
}

/**
 * Joins a client's connection with the streams of a container or a command, until its output is at its end or the
 * client is gone. Each side's half-close is the other's: input goes on when output is over no more, output goes on when
 * the client has nothing to send. Disposes the streams. Never rejects for what the peers do.
 */
export async function runSession(socket: Duplex, streams: AttachedStreams, options: SessionOptions): Promise<void> {
  const { session } = streams;
  const output = new Output(socket, options.framed);
  // The session's end is told by its output; a command that could not run says so on its own way.
  session.exit.catch(() => undefined);
  const closed = new Promise<void>((resolve) => (socket.closed ? resolve() : socket.once('close', resolve)));
  const fed = session.stdin && feed(socket, session.stdin);
  if (fed === undefined) socket.resume();
  // Who looks at no output stays until its input is over.
  const silent = session.stdout === undefined && session.stderr === undefined;
  const copied = Promise.all([copyOutput(output, streams), silent ? fed : undefined]);
  try {
    await Promise.race([copied, closed, ...(streams.detached === undefined ? [] : [streams.detached])]);
  } finally {
    output.stop();
    await streams[Symbol.asyncDispose]();
    await copied.catch(() => undefined);
    await farewell(socket);
  }
}

async function copyOutput(output: Output, { earlier, session }: AttachedStreams): Promise<void> {
  if (earlier) for await (const piece of earlier) await output.writeRaw(piece);
  await Promise.all([output.copy('stdout', session.stdout), output.copy('stderr', session.stderr)]);
}

class Output {
  readonly #socket: Duplex;
  readonly #framed: boolean;
  readonly #copies = new Set<() => void>();

  constructor(socket: Duplex, framed: boolean) {
    this.#socket = socket;
    this.#framed = framed;
  }

  /** Resolves at the source's end, also when it broke off, or with `stop`, after which the source is as it was. */
  async copy(stream: FrameStream, source: Readable | undefined): Promise<void> {
    if (source === undefined || source.destroyed || source.readableEnded) return;
    const over = ['end', 'close', 'error'] as const;
    await new Promise<void>((resolve) => {
      const take = (chunk: Buffer): void => {
        if (this.#gone) return;
        if (this.#framed) this.#socket.write(frameHeader(stream, chunk.length));
        if (this.#socket.write(chunk)) return;
        source.pause();
        void drained(this.#socket).then(() => source.resume());
      };
      const end = (): void => {
        source.off('data', take);
        for (const event of over) source.off(event, end);
        this.#copies.delete(end);
        resolve();
      };
      this.#copies.add(end);
      for (const event of over) source.once(event, end);
      source.on('data', take);
    });
  }

  /** Copies nothing more. */
  stop(): void {
    for (const end of [...this.#copies]) end();
  }

  async writeRaw(piece: Uint8Array): Promise<void> {
    if (this.#gone) return;
    if (!this.#socket.write(piece)) await drained(this.#socket);
  }

  get #gone(): boolean {
    return this.#socket.destroyed || this.#socket.writableEnded;
  }
}

/** Passes on what the client sends; resolves at its end. Input that nobody reads any more is thrown away, so that its end is still seen. */
async function feed(socket: Duplex, stdin: Writable): Promise<void> {
  stdin.on('error', () => socket.resume());
  stdin.once('close', () => socket.resume());
  socket.on('data', (chunk: Buffer) => {
    if (stdin.destroyed || stdin.writableEnded) return;
    if (stdin.write(chunk)) return;
    socket.pause();
    stdin.once('drain', () => socket.resume());
  });
  // The client may have had nothing to send, and said so while the command was started.
  if (socket.readableEnded) stdin.end();
  else socket.once('end', () => stdin.end());
  await finished(stdin, { readable: false }).catch(() => undefined);
}

/** Ends the connection once all is written, however slowly the client reads. */
async function farewell(socket: Duplex): Promise<void> {
  if (socket.destroyed) return;
  socket.end();
  socket.resume();
  await finished(socket, { readable: false }).catch(() => undefined);
  hangUp(socket);
}
