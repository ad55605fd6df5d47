import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { closeSync } from 'node:fs';
import { createServer, type Server, Socket } from 'node:net';
import { formatIp, parseIp, throwIfAborted, WherryError } from '@wherry/base';
import { checked, lastErrno, libc, systemError } from '../libc.ts';
import { inNetworkNamespace } from './network-namespace.ts';

const openSocket = libc.func('int socket(int domain, int type, int protocol)');
const bindSocket = libc.func('int bind(int fd, const uint8_t *address, unsigned int length)');
const setOption = libc.func('int setsockopt(int fd, int level, int name, const int *value, unsigned int length)');

const family = { 4: 2, 16: 10 } as const; // AF_INET, AF_INET6
const stream = 1;
const datagram = 2;
const nonBlockingCloseOnExec = 0o4000 | 0o2000000;
const solSocket = 1;
const reuseAddress = 2;
const receiveBuffer = 8;
const ipv6 = 41;
const ipv6Only = 26;

function addressBytes(host: string): Uint8Array {
  const bytes = parseIp(host);
  if (bytes === undefined) throw new WherryError('invalid', `"${host}" is not an IP address`);
  return bytes;
}

/** `struct sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)). */
function sockaddr(bytes: Uint8Array, port: number): Buffer {
  const v6 = bytes.length === 16;
  const address = Buffer.alloc(v6 ? 28 : 16);
  address.writeUInt16LE(v6 ? family[16] : family[4], 0);
  address.writeUInt16BE(port, 2);
  address.set(bytes, v6 ? 8 : 4);
  return address;
}

function openIn(netns: string | undefined, bytes: Uint8Array, type: number, protocol = 0): number {
  const domain = bytes.length === 16 ? family[16] : family[4];
  const fd: number = inNetworkNamespace(netns, () => openSocket(domain, type | nonBlockingCloseOnExec, protocol));
  if (fd < 0 && protocol !== 0)
    throw new WherryError('unsupported', `the kernel has no sockets of protocol ${protocol}`);
  return checked(fd, 'socket');
}

function boundIn(netns: string | undefined, host: string, port: number, type: number, protocol = 0): number {
  const bytes = addressBytes(host);
  const fd = openIn(netns, bytes, type, protocol);
  try {
    // For UDP this would let a second daemon steal the port.
    if (type === stream && protocol === 0)
      checked(setOption(fd, solSocket, reuseAddress, [1], 4), 'setsockopt SO_REUSEADDR');
    if (bytes.length === 16) checked(setOption(fd, ipv6, ipv6Only, [1], 4), 'setsockopt IPV6_V6ONLY');
    const address = sockaddr(bytes, port);
    if (bindSocket(fd, address, address.length) < 0) {
      throw systemError(`bind to ${formatIp(bytes)} port ${port}`, lastErrno());
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Connects by TCP from inside a network namespace (default: this process's) to an IP address,
 * without blocking. Gives a connected `net.Socket`; throws `unavailable` (refused, unreachable),
 * `timeout` after `timeoutMs` (default: the kernel's two minutes), `cancelled`, `invalid` for a host name.
 */
export async function dialInNetns(
  netns: string | undefined,
  host: string,
  port: number,
  {
    signal,
    timeoutMs,
    allowHalfOpen = false,
  }: {
    signal?: AbortSignal | undefined;
    timeoutMs?: number | undefined;
    allowHalfOpen?: boolean;
  } = {},
): Promise<Socket> {
  throwIfAborted(signal);
  const fd = openIn(netns, addressBytes(host), stream);
  // Unconnected and not reading yet: connect() then uses this descriptor instead of a new one.
  const options = { fd, manualStart: true, readable: true, writable: true, allowHalfOpen };
  const socket = new Socket(options);
  let timer: NodeJS.Timeout | undefined;
  let abort: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (code: 'unavailable' | 'timeout' | 'cancelled', why: string, cause?: unknown): void =>
        reject(new WherryError(code, `connect to ${host} port ${port}: ${why}`, { cause }));
      socket.once('connect', resolve);
      socket.once('error', (error: NodeJS.ErrnoException) =>
        error.code === 'ETIMEDOUT'
          ? fail('timeout', 'timed out', error)
          : fail('unavailable', error.code ?? error.message, error),
      );
      if (timeoutMs !== undefined) timer = setTimeout(() => fail('timeout', 'timed out'), timeoutMs);
      abort = () => fail('cancelled', 'cancelled', signal?.reason);
      signal?.addEventListener('abort', abort, { once: true });
      socket.connect({ host, port });
    });
    socket.removeAllListeners('error');
    return socket;
  } catch (error) {
    socket.on('error', () => undefined);
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    if (abort) signal?.removeEventListener('abort', abort);
  }
}

/** A TCP server listening on an IP address inside a network namespace; port 0 picks one. Throws `conflict` when it is taken. */
export async function listenInNetns(
  netns: string | undefined,
  host: string,
  port: number,
  onConnection: (socket: Socket) => void,
): Promise<Server> {
  const fd = boundIn(netns, host, port, stream);
  const server = createServer({ allowHalfOpen: true }, onConnection);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(systemError(`listen on ${host} port ${port}`, error.code ?? 'EIO')),
    );
    server.listen({ fd }, resolve);
  });
  server.removeAllListeners('error');
  return server;
}

/** A UDP socket bound to an IP address inside a network namespace; port 0 picks one. Throws `conflict` when it is taken. */
export async function bindUdpInNetns(netns: string | undefined, host: string, port: number): Promise<UdpSocket> {
  const fd = boundIn(netns, host, port, datagram);
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ fd }, resolve);
  });
  socket.removeAllListeners('error');
  return socket;
}

const protocols = {
  TCP: { type: stream, number: 0 },
  UDP: { type: datagram, number: 0 },
  SCTP: { type: stream, number: 132 },
} as const;

/**
 * Takes a port of an address inside a network namespace without ever reading from it, so that nobody else can
 * take it; disposing gives it back. Throws `conflict` when it is taken, `unsupported` where the kernel lacks
 * the protocol.
 */
export function holdPort(
  netns: string | undefined,
  host: string,
  port: number,
  protocol: keyof typeof protocols,
): Disposable {
  const { type, number } = protocols[protocol];
  const fd = boundIn(netns, host, port, type, number);
  // What arrives in spite of the rules stays unread: as little as possible.
  setOption(fd, solSocket, receiveBuffer, [1], 4);
  let open = true;
  return {
    [Symbol.dispose]: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}
