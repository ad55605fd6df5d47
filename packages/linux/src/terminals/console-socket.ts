import { rmSync } from 'node:fs';
import { deferred, WherryError } from '@wherry/base';
import koffi from 'koffi';
import { checked, libc } from '../libc.ts';
import { closeQuietly, duplicateDescriptor } from '../processes/descriptors.ts';
import { whenReadable } from '../processes/pollable.ts';
import { withUnixAddress } from '../processes/seqpacket.ts';

const socketCall = libc.func('int socket(int domain, int type, int protocol)');
const bindCall = libc.func('int bind(int socket, const void *address, uint length)');
const listenCall = libc.func('int listen(int socket, int backlog)');
const acceptCall = libc.func('int accept4(int socket, void *address, void *length, int flags)');
const optionCall = libc.func('int setsockopt(int socket, int level, int name, const void *value, uint length)');
const vector = koffi.struct({ base: 'void *', length: 'size_t' });
const header = koffi.struct({
  name: 'void *',
  nameLength: 'uint32',
  vectors: koffi.pointer(vector),
  vectorCount: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
});
const receiveCall = libc.func('recvmsg', 'long', ['int', koffi.inout(koffi.pointer(header)), 'int']);

const afUnix = 1;
const sockStream = 1;
const closeOnExec = 0o2000000;
const nonBlocking = 0o4000;
const solSocket = 1;
const receiveTimeout = 20; // SO_RCVTIMEO
const scmRights = 1;
const messageCloseOnExec = 0x40000000; // MSG_CMSG_CLOEXEC

/** A socket on which an OCI runtime hands over the master of a container's terminal (`--console-socket`). */
export interface ConsoleSocket extends Disposable {
  /** The descriptor of the terminal; its owner closes it. Never settles when nobody connects: race it with the runtime's end. */
  readonly terminal: Promise<number>;
  /** For when the runtime has ended: the descriptor that it handed over before, if it did. */
  terminalOfEnded(): Promise<number | undefined>;
}

/** Listens at `path`, which must not exist and is removed on disposal. */
export function listenForTerminal(path: string): ConsoleSocket {
  const socket = checked(socketCall(afUnix, sockStream | closeOnExec | nonBlocking, 0) as number, 'socket');
  try {
    withUnixAddress(path, (address) => checked(bindCall(socket, address, address.length) as number, `bind ${path}`));
    checked(listenCall(socket, 1) as number, `listen at ${path}`);
  } catch (error) {
    closeQuietly(socket);
    throw error;
  }
  const terminal = deferred<number>();
  terminal.promise.catch(() => undefined);
  let accepted = false;
  const accept = (): void => {
    if (accepted) return;
    const connection = acceptCall(socket, null, null, closeOnExec) as number;
    if (connection < 0) return;
    accepted = true;
    receiveDescriptor(connection)
      .then(terminal.resolve, terminal.reject)
      .finally(() => closeQuietly(connection));
  };
  // Reading a listening socket fails without taking the connection from its queue.
  const watch = whenReadable(duplicateDescriptor(socket), accept);
  return {
    terminal: terminal.promise,
    terminalOfEnded: async () => {
      // Its end may be seen before its connection is.
      accept();
      return accepted ? await terminal.promise : undefined;
    },
    [Symbol.dispose]: () => {
      watch[Symbol.dispose]();
      closeQuietly(socket);
      rmSync(path, { force: true });
    },
  };
}

/** Takes one descriptor off a connected unix socket (unix(7), SCM_RIGHTS), on a pool thread, within 5 s. */
async function receiveDescriptor(connection: number): Promise<number> {
  const timeout = Buffer.alloc(16);
  timeout.writeBigInt64LE(5n, 0);
  checked(optionCall(connection, solSocket, receiveTimeout, timeout, timeout.length) as number, 'setsockopt');
  const data = Buffer.alloc(4096);
  const control = Buffer.alloc(64);
  const message = {
    name: null,
    nameLength: 0,
    vectors: [{ base: data, length: data.length }],
    vectorCount: 1,
    control,
    controlLength: control.length,
    flags: 0,
  };
  const received = deferred<number>();
  receiveCall.async(connection, message, messageCloseOnExec, (error: unknown, result: number | bigint) => {
    if (error) received.reject(error);
    else received.resolve(Number(result));
  });
  if ((await received.promise) < 0) throw new WherryError('timeout', 'no terminal came on the console socket');
  // struct cmsghdr: length (8), level (4), type (4), then the descriptor.
  if (control.readInt32LE(8) !== solSocket || control.readInt32LE(12) !== scmRights || control.readBigUInt64LE(0) < 20n)
    throw new WherryError('corrupt', 'the message on the console socket holds no descriptor');
  return control.readInt32LE(16);
}
