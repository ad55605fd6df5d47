import { closeSync, constants, openSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { errnoOf, WherryError } from '@wherry/base';
import { connectSeqpacket } from '@wherry/linux';
import type { AttachOptions, StreamSession } from '@wherry/runtime';

/** First byte of a packet from conmon (its `STDOUT_PIPE`, `STDERR_PIPE`). */
const stdoutPacket = 2;
const stderrPacket = 3;
/** conmon reads packets of at most this size; it would cut a longer one. */
const longestPacket = 8192;

/** Joins the stdio of a container through conmon's attach socket. `exit` is the container's. */
export function attachTo(bundle: string, options: AttachOptions, exited: Promise<number>): StreamSession {
  const { stream: socket, rest } = connectSeqpacket(join(bundle, 'attach'));
  const stdout = options.stdout ? new PassThrough() : undefined;
  const stderr = options.stderr && !options.tty ? new PassThrough() : undefined;
  const targetOf = (packet: Buffer): PassThrough | undefined =>
    packet[0] === stdoutPacket
      ? stdout
      : packet[0] === stderrPacket
        ? (stderr ?? (options.tty ? stdout : undefined))
        : undefined;
  const closed = new Promise<void>((resolve) => {
    socket.once('close', resolve).once('end', () => {
      for (const packet of rest()) {
        const target = targetOf(packet);
        if (target?.destroyed === false) target.write(packet.subarray(1));
      }
      resolve();
    });
  });
  socket.on('data', (packet: Buffer) => {
    const target = targetOf(packet);
    if (target === undefined || target.destroyed) return;
    if (!target.write(packet.subarray(1))) {
      socket.pause();
      target.once('drain', () => socket.resume());
      target.once('close', () => socket.resume());
    }
  });
  socket.on('error', () => socket.destroy());
  const stdin = options.stdin ? packetWriter(socket) : undefined;
  const exit = closed.then(() => {
    stdout?.end();
    stderr?.end();
    stdin?.destroy();
    socket.destroy();
    return exited;
  });
  exit.catch(() => undefined);
  return {
    stdin,
    stdout,
    stderr,
    exit,
    resize: ({ width, height }) => control(bundle, `1 ${height} ${width}\n`),
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
      stdout?.destroy();
      stderr?.destroy();
      stdin?.destroy();
    },
  };
}

/** One packet a write, the next after the one before; the end shuts the sending side down. */
function packetWriter(socket: Socket): Writable {
  return new Writable({
    write: (chunk: Buffer, _, done) => {
      const send = (at: number): void => {
        if (at >= chunk.length) done();
        else if (socket.destroyed) done(new WherryError('unavailable', 'the container let go of its input'));
        else socket.write(chunk.subarray(at, at + longestPacket), () => send(at + longestPacket));
      };
      send(0);
    },
    final: (done) => {
      socket.end(() => done());
    },
    destroy: (error, done) => {
      if (!socket.destroyed && !socket.writableEnded) socket.end();
      done(error);
    },
  }).on('error', () => undefined);
}

/**
 * Writes a command to conmon's control FIFO: `1 HEIGHT WIDTH` sets the terminal's size, `2 0 0` makes it
 * open its log file anew. Throws `conflict` when no monitor reads it.
 */
export function control(bundle: string, command: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(join(bundle, 'ctl'), constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) !== 'ENXIO' && errnoOf(error) !== 'ENOENT') throw error;
    throw new WherryError('conflict', 'the container is not running', { cause: error });
  }
  try {
    writeSync(descriptor, command);
  } finally {
    closeSync(descriptor);
  }
}
