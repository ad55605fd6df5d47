import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import { WherryError } from '@wherry/base';
import { checked, lastErrno, libc, systemError } from '../libc.ts';
import { duplicateDescriptor } from '../processes/descriptors.ts';
import { whenReadable } from '../processes/pollable.ts';

const sendfile = libc.func('int64_t sendfile(int out, int in, void *offset, size_t count)');
const sendfileInThread = promisify(sendfile.async) as (...args: unknown[]) => Promise<number | bigint>;
const epollCreate = libc.func('int epoll_create1(int flags)');
const epollControl = libc.func('int epoll_ctl(int epoll, int operation, int descriptor, void *event)');
const closeOnExec = 0o2000000; // EPOLL_CLOEXEC
const [add, forWriting] = [1, 4]; // EPOLL_CTL_ADD, EPOLLOUT
const eventSize = 16; // struct epoll_event, which is packed on some machines

/** Bytes a call: a thread goes from connection to connection. */
const most = 4 * 1024 * 1024;

/** Descriptor of a connection that Node has no part in what it sends: not of one over TLS. `undefined` where it is none. */
export function plainDescriptorOf(socket: Socket | null | undefined): number | undefined {
  const descriptor = (socket as { readonly _handle?: { readonly fd?: number } | null } | null | undefined)?._handle?.fd;
  return socket && !('encrypted' in socket) && descriptor !== undefined && descriptor >= 0 ? descriptor : undefined;
}

/**
 * Sends a file's bytes from `start` to before `end` over a connection without taking them through this process
 * (sendfile(2)), on libuv's threads; waits where the reader is slow. Nothing that was written to the socket may be
 * waiting, and nothing may be written meanwhile. `onSent` is told of bytes that the kernel has taken. False: the
 * connection ended. Throws `unsupported` for a socket without a plain descriptor, what the kernel says of the file, and
 * `corrupt` where that is shorter.
 */
export async function sendFile(
  socket: Socket,
  file: number,
  { start, end, onSent }: { readonly start: number; readonly end: number; readonly onSent: (bytes: number) => void },
): Promise<boolean> {
  const found = plainDescriptorOf(socket);
  if (found === undefined) throw new WherryError('unsupported', 'sendfile: the connection has no descriptor');
  // One of our own: Node may close its own at any moment, and the number may be another's before a thread has come to it.
  const descriptor = duplicateDescriptor(found);
  const offset = Buffer.alloc(8);
  try {
    for (let at = start; at < end; ) {
      if (socket.destroyed) return false;
      offset.writeBigInt64LE(BigInt(at));
      let sent = Number(await sendfileInThread(descriptor, file, offset, Math.min(most, end - at)));
      // Why it failed is known to the thread alone.
      if (sent < 0) sent = Number(sendfile(descriptor, file, offset, 1));
      if (sent === 0) throw new WherryError('corrupt', `the file ends ${end - at} bytes early`);
      if (sent > 0) {
        at += sent;
        // Node does not see that something happens on the connection.
        if (socket.timeout) socket.setTimeout(socket.timeout);
        onSent(sent);
        continue;
      }
      const errno = lastErrno();
      if (errno === 'EPIPE' || errno === 'ECONNRESET') return false;
      if (errno !== 'EWOULDBLOCK' && errno !== 'EINTR') throw systemError('sendfile', errno);
      await untilWritable(descriptor, socket);
    }
    return true;
  } finally {
    closeSync(descriptor);
  }
}

/** Resolves when the connection takes more, or has ended. */
async function untilWritable(descriptor: number, socket: Socket): Promise<void> {
  // It was closed while a thread was at work, and says so no more.
  if (socket.destroyed) return;
  const epoll = checked(epollCreate(closeOnExec), 'epoll_create1');
  const event = Buffer.alloc(eventSize);
  event.writeUInt32LE(forWriting);
  if (epollControl(epoll, add, descriptor, event) < 0) {
    const errno = lastErrno();
    closeSync(epoll);
    throw systemError('epoll_ctl', errno);
  }
  await new Promise<void>((resolve) => {
    // It is readable as soon as one of its descriptors has something to tell.
    const waiting = whenReadable(epoll, done);
    socket.once('close', done);
    function done(): void {
      socket.off('close', done);
      waiting[Symbol.dispose]();
      resolve();
    }
  });
}
