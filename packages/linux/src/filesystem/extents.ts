import { lastErrno, libc, systemError } from '../libc.ts';

const lseek = libc.func('int64_t lseek(int descriptor, int64_t offset, int whence)');
const seekData = 3;
const seekHole = 4;

/**
 * The stretches of a file that hold data, the holes of a sparse file left out (lseek(2)). A file system
 * that knows no holes gives one for all. Moves the descriptor's offset.
 */
export function* dataExtents(descriptor: number, size: number): Generator<readonly [start: number, end: number]> {
  for (let at = 0; at < size; ) {
    const start = Number(lseek(descriptor, BigInt(at), seekData));
    if (start < 0) {
      const errno = lastErrno();
      if (errno === 'ENXIO') return; // a hole up to the end
      if (errno !== 'EINVAL') throw systemError('seek data', errno);
      yield [at, size];
      return;
    }
    if (start >= size) return;
    const end = Number(lseek(descriptor, BigInt(start), seekHole));
    yield [start, end < 0 ? size : Math.min(end, size)];
    if (end < 0) return;
    at = end;
  }
}
