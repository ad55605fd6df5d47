import { closeSync, constants, openSync } from 'node:fs';
import { checked, libc } from '../libc.ts';

const ioctlCall = libc.func('ioctl', 'int', ['int', 'unsigned long', 'void *']);
const setWindowSize = 0x5414; // TIOCSWINSZ
const getNumber = 0x80045430; // TIOCGPTN
const setLock = 0x40045431; // TIOCSPTLCK

export interface WindowSize {
  readonly width: number;
  readonly height: number;
}

/** Sets the size of a terminal (either end), in characters; its foreground processes get SIGWINCH. */
export function resizeTerminal(descriptor: number, { width, height }: WindowSize): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(clamp(height), 0);
  size.writeUInt16LE(clamp(width), 2);
  checked(ioctlCall(descriptor, setWindowSize, size) as number, 'resize the terminal');
}

const clamp = (value: number): number => Math.min(Math.max(Math.trunc(value) || 0, 0), 65535);

/** Opens a new terminal (pty(7)). The caller closes both descriptors. */
export function openTerminal(size?: WindowSize): { readonly master: number; readonly slave: number } {
  const flags = constants.O_RDWR | constants.O_NOCTTY;
  const master = openSync('/dev/ptmx', flags);
  try {
    const number = Buffer.alloc(4);
    checked(ioctlCall(master, setLock, Buffer.alloc(4)) as number, 'unlock the terminal');
    checked(ioctlCall(master, getNumber, number) as number, 'number of the terminal');
    if (size !== undefined) resizeTerminal(master, size);
    return { master, slave: openSync(`/dev/pts/${number.readUInt32LE(0)}`, flags) };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}
