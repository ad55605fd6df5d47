import { checked, libc } from '../libc.ts';

const socketCall = libc.func('int socket(int domain, int type, int protocol)');
const ioctlCall = libc.func('ioctl', 'int', ['int', 'unsigned long', 'void *']);
const closeCall = libc.func('int close(int fd)');

const afInet = 2;
const sockDgram = 2;
const closeOnExec = 0o2000000;
const getFlags = 0x8913; // SIOCGIFFLAGS
const setFlags = 0x8914; // SIOCSIFFLAGS
const interfaceUp = 1;

/** Sets `lo` up in the network namespace of this thread (netdevice(7)). */
export function raiseLoopback(): void {
  const socket = checked(socketCall(afInet, sockDgram | closeOnExec, 0) as number, 'socket');
  try {
    const request = Buffer.alloc(40); // struct ifreq: name[16], then a union of 24 bytes
    request.write('lo', 'latin1');
    checked(ioctlCall(socket, getFlags, request) as number, 'flags of lo');
    request.writeInt16LE(request.readInt16LE(16) | interfaceUp, 16);
    checked(ioctlCall(socket, setFlags, request) as number, 'set lo up');
  } finally {
    closeCall(socket);
  }
}
