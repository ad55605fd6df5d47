import { checked, lastErrno, libc, systemError } from '../libc.ts';

const recv = libc.func('int64_t recv(int socket, void *buffer, size_t length, int flags)');
const poll = libc.func('int poll(void *descriptors, unsigned long count, int timeout)');
const setsockopt = libc.func('int setsockopt(int socket, int level, int name, void *value, uint length)');
const shutdown = libc.func('int shutdown(int socket, int how)');
const readable = 1; // POLLIN
const doNotWait = 0x40; // MSG_DONTWAIT

/** What has come is taken so often (ms), and less often where it is `little` (bytes). */
const [shortWait, longWait] = [200, 1600];
const little = 16 * 1024;

/** Errors that are the program's own, not the connection's (recv(2)). */
const faults = ['EBADF', 'EFAULT', 'EINVAL', 'ENOTCONN', 'ENOTSOCK'];

/**
 * Lets `receive` wait until so many bytes are there, or its patience ends: a thread is not woken for each packet
 * (socket(7), SO_RCVLOWAT).
 */
export function waitForMany(connection: number, bytes: number): void {
  const value = Buffer.alloc(4);
  value.writeInt32LE(bytes);
  checked(setsockopt(connection, 1, 18, value, 4) as number, 'setsockopt SO_RCVLOWAT');
}

/**
 * Takes what has come over a connection into `buffer`, and waits no longer than `patience` (ms) for the first byte
 * (recv(2), poll(2)): the count, 0 when the connection has ended in whatever way, `undefined` when nothing came.
 * Blocks the thread. Throws the system's word for what is no connection.
 */
export function receive(connection: number, buffer: Uint8Array, patience: number): number | undefined {
  for (let filled = 0; ; ) {
    const count = Number(recv(connection, buffer.subarray(filled), buffer.length - filled, doNotWait));
    if (count > 0) filled += count;
    if (count === 0 || filled === buffer.length) return filled;
    if (count > 0) continue;
    const errno = lastErrno();
    if (faults.includes(errno)) throw systemError('recv', errno);
    if (errno === 'EINTR') continue;
    // What came before an error is taken first: the next call tells of the end.
    if (filled > 0 || (errno !== 'EWOULDBLOCK' && errno !== 'EAGAIN')) return filled;
    if (!isReadable(connection, patience)) return undefined;
  }
}

export interface Patience {
  /** Milliseconds that the connection may be silent; without end where there is none. */
  readonly milliseconds?: number;
  /** Called whenever something came, or nothing for a while: `endReceiving` brings it about at once. */
  readonly throwIfCancelled: () => void;
}

/**
 * Reads a connection for a thread, which it blocks. Each call fills the buffer, or a part of it: the count, 0 when the
 * connection has ended in whatever way, `undefined` when it was silent for too long.
 */
export function patientReceiver(
  connection: number,
  { milliseconds = Number.POSITIVE_INFINITY, throwIfCancelled }: Patience,
): (into: Buffer) => number | undefined {
  let wait = shortWait;
  return (into) => {
    for (let silence = 0; ; ) {
      const count = receive(connection, into, wait);
      throwIfCancelled();
      silence += wait;
      wait = (count ?? 0) < little ? Math.min(2 * wait, longWait) : shortWait;
      if (count !== undefined) return count;
      if (silence >= milliseconds) return undefined;
    }
  };
}

/** Wakes whoever waits in `receive`, on any thread: to them the connection has ended (shutdown(2), SHUT_RD). */
export function endReceiving(connection: number): void {
  // It may have ended by itself.
  shutdown(connection, 0);
}

/** Calls `endReceiving` when `signal` is aborted, until it is disposed: before the descriptor is closed. */
export function endReceivingOn(signal: AbortSignal, connection: number): Disposable {
  const end = (): void => endReceiving(connection);
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', end) };
}

function isReadable(descriptor: number, patience: number): boolean {
  const asked = Buffer.alloc(8); // struct pollfd
  asked.writeInt32LE(descriptor);
  asked.writeInt16LE(readable, 4);
  return (poll(asked, 1, patience) as number) > 0;
}
