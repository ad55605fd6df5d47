import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { checked, libc } from '../libc.ts';
import { closeQuietly } from './descriptors.ts';
import { streamOfDescriptor } from './pollable.ts';

const socketCall = libc.func('int socket(int domain, int type, int protocol)');
const connectCall = libc.func('int connect(int socket, const void *address, uint length)');
const receiveCall = libc.func('long recv(int socket, void *buffer, size_t length, int flags)');
const afUnix = 1;
const sockSeqpacket = 5;
const closeOnExec = 0o2000000;
const pathOnly = 0o10000000;
const noWait = 0x40;
const longestPacket = 64 << 10;

/**
 * The address of a unix socket (unix(7)) in 110 bytes. A path that does not fit is named through an
 * open descriptor of its folder, which must stay open until the call is over.
 */
export function withUnixAddress<T>(path: string, work: (address: Buffer) => T): T {
  const address = Buffer.alloc(110);
  address.writeUInt16LE(afUnix, 0);
  if (Buffer.byteLength(path) < 108) {
    address.write(path, 2);
    return work(address);
  }
  const folder = openSync(dirname(path), pathOnly);
  try {
    address.write(`/proc/self/fd/${folder}/${basename(path)}`, 2);
    return work(address);
  } finally {
    closeSync(folder);
  }
}

export interface PacketSocket {
  /** See `streamOfDescriptor`. */
  readonly stream: Socket;
  /**
   * To be called in a listener of the stream's `end`: the packets that were still queued then. libuv takes a read
   * that did not fill its buffer for the last one before a hang-up, which on a stream of packets it need not be.
   */
  rest(): Buffer[];
}

/** Connects to a unix socket of type SEQPACKET, as conmon's attach socket is. */
export function connectSeqpacket(path: string): PacketSocket {
  const descriptor = checked(socketCall(afUnix, sockSeqpacket | closeOnExec, 0) as number, 'socket');
  try {
    withUnixAddress(path, (address) =>
      checked(connectCall(descriptor, address, address.length) as number, `connect to ${path}`),
    );
    return { stream: streamOfDescriptor(descriptor), rest: () => queuedPackets(descriptor) };
  } catch (error) {
    closeQuietly(descriptor);
    throw error;
  }
}

function queuedPackets(descriptor: number): Buffer[] {
  const packets: Buffer[] = [];
  for (;;) {
    const buffer = Buffer.alloc(longestPacket);
    const length = Number(receiveCall(descriptor, buffer, buffer.length, noWait));
    if (length <= 0) return packets;
    packets.push(buffer.subarray(0, length));
  }
}
