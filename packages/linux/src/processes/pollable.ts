import { Socket } from 'node:net';
import { WherryError } from '@wherry/base';

/** The part of libuv's pipe handle that is used here. */
interface PipeHandle {
  open(descriptor: number): number;
  readStart(): number;
  close(callback?: () => void): void;
  unref(): void;
  onread: () => void;
}

interface PipeBinding {
  readonly Pipe: new (type: number) => PipeHandle;
  readonly constants: { readonly SOCKET: number };
}

let binding: PipeBinding | undefined;

/**
 * Node has no public way to wait for a descriptor that is neither socket, pipe nor file. Its pipe
 * handle takes any descriptor that epoll takes: pidfds, SEQPACKET sockets, terminals.
 */
function openHandle(descriptor: number): PipeHandle {
  binding ??= (process as unknown as { binding(name: string): PipeBinding }).binding('pipe_wrap');
  const handle = new binding.Pipe(binding.constants.SOCKET);
  const result = handle.open(descriptor);
  if (result < 0) throw new WherryError('internal', `watch descriptor ${descriptor}: error ${result}`);
  return handle;
}

/**
 * Calls back once when the descriptor has become readable, and takes over and closes it then or on
 * disposal. What is readable is lost: for descriptors that only signal (pidfd, eventfd). Reading a
 * pidfd fails with EINVAL, which is the sign of the process' end.
 */
export function whenReadable(descriptor: number, callback: () => void): Disposable {
  const handle = openHandle(descriptor);
  let open = true;
  const close = (): boolean => {
    if (!open) return false;
    open = false;
    handle.onread = () => undefined; // Node aborts when this is not a function
    handle.close();
    return true;
  };
  handle.onread = () => {
    if (close()) callback();
  };
  handle.readStart();
  return { [Symbol.dispose]: () => void close() };
}

/**
 * A stream over any descriptor that epoll takes; it takes over and closes the descriptor. On a
 * SEQPACKET socket each `data` event is one packet and each `write` at most one (write the next only
 * after the callback of the one before, else they are joined).
 */
export function streamOfDescriptor(
  descriptor: number,
  { readable = true, writable = true }: { readonly readable?: boolean; readonly writable?: boolean } = {},
): Socket {
  const handle = openHandle(descriptor);
  // `handle` is an option that Node's own child_process and tty use; the typings leave it out.
  return new Socket({ handle, readable, writable, allowHalfOpen: true } as ConstructorParameters<typeof Socket>[0]);
}
