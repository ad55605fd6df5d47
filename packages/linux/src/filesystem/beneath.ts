import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import { lastErrno, libc, systemError } from '../libc.ts';
import { cPath } from './c-path.ts';

const openat2Number = 437; // the same on every architecture
const resolveNoMagicLinks = 0x02;
const resolveBeneath = 0x08;
const resolveInRoot = 0x10;
const pathOnly = 0o10000000;
const busy: ReadonlySet<string> = new Set(['EAGAIN', 'EWOULDBLOCK']);
const mostTries = 1000;

const openat2 = libc.func('syscall', 'long', ['long', 'int', 'const char *', 'void *', 'size_t']);

export interface OpenBeneathOptions {
  /** Of `fs.constants.O_*`. Default: read-only. O_CLOEXEC is always added. */
  readonly flags?: number | undefined;
  /** Of a file that is created. */
  readonly mode?: number | undefined;
  /**
   * What a path that would leave the folder does: `inRoot` stays inside as chroot would (`..` at
   * the top is the top, absolute links start there), `refuse` fails. Default `inRoot`.
   */
  readonly escape?: 'inRoot' | 'refuse' | undefined;
}

/**
 * Opens `path` below the folder `root` (path or descriptor) so that no symbolic link, `..` or race
 * leads out of it: openat2(2), Linux ≥ 5.6. Gives a descriptor that the caller closes.
 */
export function openBeneath(root: string | number, path: string, options: OpenBeneathOptions = {}): number {
  const opened = tryOpenBeneath(root, path, options);
  if (typeof opened === 'string') throw systemError(`open ${path || '.'} beneath ${String(root)}`, opened);
  return opened;
}

/** Gives the name of the error instead of throwing it. */
function tryOpenBeneath(root: string | number, path: string, options: OpenBeneathOptions): number | string {
  const folder = typeof root === 'number' ? root : openSync(root, pathOnly | constants.O_DIRECTORY);
  try {
    const flags = (options.flags ?? constants.O_RDONLY) | 0o2000000; // O_CLOEXEC
    const how = Buffer.alloc(24);
    how.writeBigUInt64LE(BigInt(flags), 0);
    how.writeBigUInt64LE((flags & constants.O_CREAT) === 0 ? 0n : BigInt(options.mode ?? 0o644), 8);
    const confinement = options.escape === 'refuse' ? resolveBeneath : resolveInRoot;
    how.writeBigUInt64LE(BigInt(confinement | resolveNoMagicLinks), 16);
    if (path.includes('\0')) throw new WherryError('invalid', 'a path holds a zero byte');
    const named = cPath(path === '' ? '.' : path);
    // Each rename or mount on the machine in the middle of a `..` fails it with EAGAIN, for another try (openat2(2)).
    for (let left = mostTries; ; left--) {
      const opened = Number(openat2(openat2Number, folder, named, how, how.length));
      if (opened >= 0) return opened;
      const error = lastErrno();
      if (left === 0 || !busy.has(error)) return error;
    }
  } finally {
    if (typeof root === 'string') closeSync(folder);
  }
}

/**
 * Looks before it opens: to open a device of an image may already do something, a FIFO waits for its other end. What is
 * not there is no error: it is often asked for.
 */
function openRegular(root: string, path: string): number | undefined {
  const found = tryOpenBeneath(root, path, { flags: pathOnly });
  if (found === 'ENOENT') return undefined;
  if (typeof found === 'string') throw systemError(`open ${path || '.'} beneath ${root}`, found);
  try {
    if (!fstatSync(found).isFile()) throw new WherryError('invalid', `${path} is not a regular file`);
    return openSync(`/proc/self/fd/${found}`, constants.O_RDONLY);
  } finally {
    closeSync(found);
  }
}

/** Reads a regular file below `root`, at most `limit` bytes. `undefined` when there is none. */
export function readFileBeneath(root: string, path: string, limit: number): Buffer | undefined {
  const descriptor = openRegular(root, path);
  if (descriptor === undefined) return undefined;
  try {
    const status = fstatSync(descriptor);
    if (status.size > limit) throw new WherryError('tooLarge', `${path} is larger than ${limit} bytes`);
    const content = Buffer.alloc(status.size);
    let length = 0;
    while (length < content.length) {
      const count = readSync(descriptor, content, length, content.length - length, null);
      if (count === 0) break;
      length += count;
    }
    return content.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}
