import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { WherryError } from '@wherry/base';
import { checked, lastErrno, libc, systemError } from '../libc.ts';
import { inNetworkNamespace } from '../sockets/network-namespace.ts';
import { decodeAttributes, textOf } from './attributes.ts';
import { headerLength, messagesIn, type NetlinkMessage, type ReceivedMessage } from './netlink-message.ts';

const openSocket = libc.func('int socket(int domain, int type, int protocol)');
const setOption = libc.func('int setsockopt(int fd, int level, int name, const uint8_t *value, unsigned int length)');
const send = libc.func('intptr_t send(int fd, const uint8_t *data, size_t length, int flags)');
const receive = libc.func('intptr_t recv(int fd, _Out_ uint8_t *data, size_t length, int flags)');

const afNetlink = 16;
const rawCloseOnExec = 3 | 0o2000000;
const flag = { request: 1, multi: 2, ack: 4, dump: 0x300, capped: 0x100, extendedAck: 0x200 } as const;
const kind = { error: 2, done: 3 } as const;
/** Larger than any message of the kernel to a socket that did not ask for more (NLMSG_GOODSIZE is 8 KiB, dumps use 32 KiB). */
const bufferSize = 65_536;

/** Netlink families (netlink(7)). */
export const netlinkFamily = { route: 0, netfilter: 12 } as const;

/** Flags of requests that make something (netlink(7)). */
export const createFlag = { create: 0x400, exclusive: 0x200, replace: 0x100, append: 0x800 } as const;

/** One request: what it does (for errors), its type, its flags besides REQUEST and ACK, and its body. */
export interface NetlinkRequest {
  readonly what: string;
  readonly type: number;
  readonly flags?: number;
  readonly body: Uint8Array;
}

/**
 * A netlink socket. Calls are synchronous: the kernel works a request off inside send(2) and its
 * answer lies ready, so that a call takes tens of microseconds. The socket stays in the network
 * namespace in which it was opened.
 */
export class NetlinkSocket implements Disposable {
  #fd: number;
  #sequence = 0;
  #buffer: Buffer | undefined;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Opens a socket in the network namespace at the path (default: this thread's). */
  static open({
    netns,
    family = netlinkFamily.route,
  }: {
    netns?: string | undefined;
    family?: number;
  } = {}): NetlinkSocket {
    const fd = inNetworkNamespace(netns, () =>
      checked(openSocket(afNetlink, rawCloseOnExec, family), 'netlink socket'),
    );
    const yes = Uint8Array.of(1, 0, 0, 0);
    // Errors as text, and without the request behind them (both only improve messages: failures ignored).
    setOption(fd, 270, 11, yes, 4);
    setOption(fd, 270, 10, yes, 4);
    // The answer is there after send; should it ever not be, fail instead of hanging: 2 s.
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(2n, 0);
    setOption(fd, 1, 20, timeout, 16);
    return new NetlinkSocket(fd);
  }

  /** Does one thing; throws with the kernel's reason (`alreadyExists`, `notFound`, `conflict`, `forbidden`, …). */
  execute(request: NetlinkRequest): void {
    this.batch([request]);
  }

  /**
   * As `execute`, on a thread of the pool: when an interface goes, the kernel waits for all who look at it, tens of
   * milliseconds. Nothing else may be asked of this socket meanwhile.
   */
  async executeAside(request: NetlinkRequest): Promise<void> {
    const data = this.#encode(request, flag.ack);
    const sequence = this.#sequence;
    await new Promise<void>((resolve, reject) => {
      send.async(this.#fd, data, data.length, 0, (error: unknown, sent: number | bigint) => {
        if (error) reject(error);
        else if (Number(sent) < 0) reject(systemError('netlink send', lastErrno()));
        else resolve();
      });
    });
    for (;;) {
      for (const message of this.#receive()) {
        if (message.type !== kind.error || message.sequence !== sequence) continue;
        const failure = errorOf(request.what, message.body, message.flags);
        if (failure !== undefined) throw failure;
        return;
      }
    }
  }

  /** Does several things in order with one system call; all are tried, then the first failure is thrown. */
  batch(requests: readonly NetlinkRequest[]): void {
    if (requests.length === 0) return;
    const first = this.#sequence + 1;
    this.#send(requests.map((request) => this.#encode(request, flag.ack)));
    let open = requests.length;
    let failure: WherryError | undefined;
    while (open > 0) {
      for (const message of this.#receive()) {
        const request = requests[message.sequence - first];
        if (message.type !== kind.error || request === undefined) continue;
        open--;
        failure ??= errorOf(request.what, message.body, message.flags);
      }
    }
    if (failure) throw failure;
  }

  /** Asks for one object; throws `notFound` and the like. */
  get(request: NetlinkRequest): NetlinkMessage {
    this.#send([this.#encode(request, 0)]);
    for (;;) {
      for (const message of this.#receive()) {
        if (message.sequence !== this.#sequence) continue;
        if (message.type !== kind.error) return { type: message.type, body: Buffer.from(message.body) };
        throw (
          errorOf(request.what, message.body, message.flags) ??
          new WherryError('internal', `${request.what}: an empty answer`)
        );
      }
    }
  }

  /** Asks for a list. */
  dump(request: NetlinkRequest): NetlinkMessage[] {
    this.#send([this.#encode(request, flag.dump)]);
    const found: NetlinkMessage[] = [];
    for (;;) {
      for (const message of this.#receive()) {
        if (message.sequence !== this.#sequence) continue;
        if (message.type === kind.done) return found;
        if (message.type === kind.error) {
          const error = errorOf(request.what, message.body, message.flags);
          if (error) throw error;
        } else {
          found.push({ type: message.type, body: Buffer.from(message.body) });
        }
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  #encode(request: NetlinkRequest, flags: number): Buffer {
    const message = Buffer.alloc((headerLength + request.body.length + 3) & ~3);
    message.writeUInt32LE(headerLength + request.body.length, 0);
    message.writeUInt16LE(request.type, 4);
    message.writeUInt16LE(flag.request | flags | (request.flags ?? 0), 6);
    this.#sequence = (this.#sequence + 1) >>> 0;
    message.writeUInt32LE(this.#sequence, 8);
    message.set(request.body, headerLength);
    return message;
  }

  #send(messages: readonly Buffer[]): void {
    const data = messages.length === 1 ? messages[0]! : Buffer.concat(messages);
    checked(Number(send(this.#fd, data, data.length, 0)), 'netlink send');
  }

  #receive(): Iterable<ReceivedMessage> {
    this.#buffer ??= Buffer.alloc(bufferSize);
    const size = Number(receive(this.#fd, this.#buffer, bufferSize, 0));
    if (size < 0) throw systemError('netlink recv', lastErrno());
    return messagesIn(this.#buffer.subarray(0, size));
  }
}

/** The failure in an acknowledgement, with the kernel's text where it gave one; `undefined` for success. */
function errorOf(what: string, body: Buffer, flags: number): WherryError | undefined {
  const code = body.readInt32LE(0);
  if (code === 0) return undefined;
  let reason: string | undefined;
  if (flags & flag.extendedAck) {
    const echoed = flags & flag.capped ? headerLength : body.readUInt32LE(4);
    reason = textOf(decodeAttributes(body.subarray(4 + ((echoed + 3) & ~3))).get(1));
  }
  const name = getSystemErrorName(code);
  const error = systemError(reason === undefined ? what : `${what}: ${reason}`, name);
  return name === 'ENODEV' || name === 'ENOENT' || name === 'EADDRNOTAVAIL'
    ? new WherryError('notFound', error.message, { details: { errno: name } })
    : error;
}
