import { constants } from 'node:fs';
import { checked, libc } from '../libc.ts';
import { cPath } from './c-path.ts';

const mknod = libc.func('int mknod(const char *path, unsigned int mode, unsigned long device)');

const types = { character: constants.S_IFCHR, block: constants.S_IFBLK, fifo: constants.S_IFIFO } as const;

export interface DeviceNode {
  readonly type: keyof typeof types;
  /** Permission bits, applied as they are (not narrowed by the umask when it is 0). */
  readonly mode: number;
  readonly major?: number;
  readonly minor?: number;
}

/** Makes a device node or a FIFO (mknod(2)). A character device 0/0 is overlayfs' whiteout. */
export function makeNode(path: string | Buffer, { type, mode, major = 0, minor = 0 }: DeviceNode): void {
  checked(mknod(cPath(path), types[type] | (mode & 0o7777), deviceNumber(major, minor)), `mknod ${path}`);
}

/** glibc's `makedev`: 12 and 20 bits of each, interleaved. */
function deviceNumber(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn);
}

/** The two numbers of a device, out of a file's `rdev`. */
export function numbersOfDevice(rdev: number): { readonly major: number; readonly minor: number } {
  const number = BigInt(rdev);
  return {
    major: Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn)),
    minor: Number((number & 0xffn) | ((number >> 12n) & ~0xffn)),
  };
}
