import { closeSync } from 'node:fs';
import { checked, libc } from '../libc.ts';
import { streamOfDescriptor } from '../processes/pollable.ts';
import { inNetworkNamespace } from '../sockets/network-namespace.ts';
import { messagesIn, type NetlinkMessage } from './netlink-message.ts';

const openSocket = libc.func('int socket(int domain, int type, int protocol)');
const bindSocket = libc.func('int bind(int fd, const uint8_t *address, unsigned int length)');
const setOption = libc.func('int setsockopt(int fd, int level, int name, const uint8_t *value, unsigned int length)');

const afNetlink = 16;
const rawCloseOnExec = 3 | 0o2000000;
/** SOL_SOCKET, SO_RCVBUFFORCE: memory is taken only by what lies unread. */
const receiveBuffer = [1, 33] as const;
const receiveBufferSize = 1024 * 1024;

/** What `onNetlinkEvents` tells. */
export interface NetlinkListener {
  readonly onMessage: (message: NetlinkMessage) => void;
  /** Messages were lost, as the process did not keep up; nothing more is told until one listens anew. */
  readonly onOverrun: () => void;
}

/**
 * Listens to a multicast group (1 to 32) of a netlink family in the network namespace at the path
 * (default: this thread's) until disposed. It does not keep the process alive.
 */
export function onNetlinkEvents(
  { netns, family, group }: { readonly netns?: string | undefined; readonly family: number; readonly group: number },
  { onMessage, onOverrun }: NetlinkListener,
): Disposable {
  const fd = inNetworkNamespace(netns, () => checked(openSocket(afNetlink, rawCloseOnExec, family), 'netlink socket'));
  try {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(receiveBufferSize);
    setOption(fd, ...receiveBuffer, size, 4);
    // struct sockaddr_nl: family, padding, port (0: the kernel chooses), bit mask of groups.
    const address = Buffer.alloc(12);
    address.writeUInt16LE(afNetlink, 0);
    address.writeUInt32LE((1 << (group - 1)) >>> 0, 8);
    checked(bindSocket(fd, address, address.length), 'netlink bind');
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  // One read is one datagram; libuv's 64 KiB hold any of the kernel's.
  const stream = streamOfDescriptor(fd, { writable: false });
  stream.on('data', (data: Buffer) => {
    for (const message of messagesIn(data)) onMessage(message);
  });
  // ENOBUFS (netlink(7)) is the only error there is.
  stream.once('error', onOverrun);
  stream.unref();
  return { [Symbol.dispose]: () => void stream.destroy() };
}
