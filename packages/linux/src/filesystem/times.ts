import { checked, libc } from '../libc.ts';
import { cPath } from './c-path.ts';

const utimensat = libc.func('int utimensat(int folder, const char *path, const void *times, int flags)');
const workingDirectory = -100;
const noFollow = 0x100;

/** Sets both times of a file, of the link itself where it is one, to the nanosecond (utimensat(2)). */
export function setTimes(path: string | Buffer, seconds: number, nanoseconds: number): void {
  const times = Buffer.alloc(32);
  for (const at of [0, 16]) {
    times.writeBigInt64LE(BigInt(seconds), at);
    times.writeBigInt64LE(BigInt(nanoseconds), at + 8);
  }
  checked(utimensat(workingDirectory, cPath(path), times, noFollow) as number, `set the times of ${path}`);
}
