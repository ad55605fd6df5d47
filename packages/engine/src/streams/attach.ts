import { closeSync, constants, openSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { deferred, errnoOf, WherryError } from '@wherry/base';
import { connectSeqpacket, type PacketSocket, type WindowSize } from '@wherry/linux';
import type { AttachOptions, StreamSession } from '@wherry/runtime';

/** First byte of a packet from conmon (its `STDOUT_PIPE`, `STDERR_PIPE`). */
const stdoutPacket = 2;
const stderrPacket = 3;
/** conmon reads packets of at most this size; it would cut a longer one. */
const longestPacket = 8192;

/** A container that is created: its bundle, and how its terminal is given another size. */
export interface Attachable {
  readonly bundle: string;
  resize(size: WindowSize): void;
}

/** A session that may be there before its container runs. */
export interface Attachment {
  readonly session: StreamSession;
  /** Joins a container whose monitor runs. Throws `conflict` when it does not. */
  connect(container: Attachable): void;
  /** Ends the session of a container that will not run. */
  fail(error: unknown): void;
}

/** Joins the stdio of a running container through conmon's attach socket. `exit` is the container's. */
export function attachTo(container: Attachable, options: AttachOptions, exited: Promise<number>): StreamSession {
  const made = attachment(options, exited);
  made.connect(container);
  return made.session;
}

/** A session without a container yet; what is written to it waits for that. */
export function attachment(options: AttachOptions, exited: Promise<number>): Attachment {
  const stdout = options.stdout ? new PassThrough() : undefined;
  const stderr = options.stderr && !options.tty ? new PassThrough() : undefined;
  const connected = deferred<Socket>();
  connected.promise.catch(() => undefined);
  const stdin = options.stdin ? packetWriter(connected.promise) : undefined;
  const targetOf = (packet: Buffer): PassThrough | undefined =>
    packet[0] === stdoutPacket
      ? stdout
      : packet[0] === stderrPacket
        ? (stderr ?? (options.tty ? stdout : undefined))
        : undefined;
  const state: { container?: Attachable; size?: WindowSize; socket?: Socket; withdrawn?: boolean } = {};
  const over = deferred<void>();
  const exit = over.promise.then(() => {
    stdout?.end();
    stderr?.end();
    stdin?.destroy();
    return exited;
  });
  exit.catch(() => undefined);
  const resize = (size: WindowSize): void => {
    state.size = size;
    state.container?.resize(size);
  };
  return {
    connect: (container) => {
      if (state.withdrawn === true) return;
      state.socket = readPackets(container.bundle, targetOf, over.resolve);
      state.container = container;
      connected.resolve(state.socket);
      if (state.size !== undefined) resize(state.size);
    },
    fail: (error) => {
      connected.reject(error);
      over.reject(error);
      stdout?.end();
      stderr?.end();
      stdin?.destroy();
    },
    session: {
      stdin,
      stdout,
      stderr,
      exit,
      resize,
      [Symbol.asyncDispose]: async () => {
        state.withdrawn = true;
        connected.reject(new WherryError('cancelled', 'the session was withdrawn'));
        state.socket?.destroy();
        stdout?.destroy();
        stderr?.destroy();
        stdin?.destroy();
      },
    },
  };
}

/** Hands each packet on, until the monitor hangs up. */
function readPackets(bundle: string, targetOf: (packet: Buffer) => PassThrough | undefined, over: () => void): Socket {
  const { stream: socket, rest } = openAttachSocket(bundle);
  const end = (): void => {
    over();
    socket.destroy();
  };
  socket.once('close', end).once('end', () => {
    for (const packet of rest()) {
      const target = targetOf(packet);
      if (target?.destroyed === false) target.write(packet.subarray(1));
    }
    end();
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
  return socket;
}

function openAttachSocket(bundle: string): PacketSocket {
  try {
    return connectSeqpacket(join(bundle, 'attach'));
  } catch (error) {
    if (!['ENOENT', 'ECONNREFUSED'].includes(String((error as WherryError).details?.errno))) throw error;
    throw new WherryError('conflict', 'the container is not running', { cause: error });
  }
}

/** One packet a write, the next after the one before; the end shuts the sending side down. */
function packetWriter(connected: Promise<Socket>): Writable {
  let socket: Socket | undefined;
  const shut = (target: Socket, done: () => void): void => {
    if (target.destroyed || target.writableEnded) done();
    else target.end(done);
  };
  return new Writable({
    construct: (done) => {
      connected.then(
        (made) => {
          socket = made;
          done();
        },
        () => done(),
      );
    },
    write: (chunk: Buffer, _, done) => {
      const send = (at: number): void => {
        if (at >= chunk.length) done();
        else if (socket === undefined || socket.destroyed)
          done(new WherryError('unavailable', 'the container let go of its input'));
        else socket.write(chunk.subarray(at, at + longestPacket), () => send(at + longestPacket));
      };
      send(0);
    },
    final: (done) => {
      if (socket === undefined) done();
      else shut(socket, done);
    },
    destroy: (error, done) => {
      if (socket !== undefined) shut(socket, () => undefined);
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

/** Makes the monitor write to a new file at the log's path; `conflict` when it is gone. */
export function reopenLog(bundle: string): void {
  control(bundle, '2 0 0\n');
}
