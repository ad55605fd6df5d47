import { lastErrno, libc, systemError } from '../libc.ts';

const lseek = libc.func('int64_t lseek(int file, int64_t offset, int whence)');
const seekData = 3;
const seekHole = 4;

/** The next part at or after `offset` that holds data (lseek(2), SEEK_DATA); `undefined`: holes to the end. */
export function nextData(file: number, offset: number): { readonly start: number; readonly end: number } | undefined {
  const start = seek(file, offset, seekData);
  if (start === undefined) return undefined;
  return { start, end: seek(file, start, seekHole) ?? start };
}

function seek(file: number, offset: number, whence: number): number | undefined {
  const found = Number(lseek(file, offset, whence));
  if (found >= 0) return found;
  const errno = lastErrno();
  if (errno === 'ENXIO') return undefined;
  throw systemError('seek', errno);
}
