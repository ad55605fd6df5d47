import { checked, lastErrno, libc, systemError } from '../libc.ts';
import { cPath } from './c-path.ts';

const lsetxattr = libc.func(
  'int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)',
);

/**
 * Sets an extended attribute of a file, of the link itself where it is one (lsetxattr(2)). Throws
 * `unsupported` where the file system has none, `exhausted` when it is too large for it.
 */
export function setExtendedAttribute(path: string | Buffer, name: string, value: Uint8Array): void {
  checked(lsetxattr(cPath(path), name, value, value.length, 0), `set attribute ${name} of ${path}`);
}

const lgetxattr = libc.func('int64_t lgetxattr(const char *path, const char *name, _Out_ void *value, size_t size)');
const llistxattr = libc.func('int64_t llistxattr(const char *path, _Out_ void *list, size_t size)');

/** XATTR_SIZE_MAX and XATTR_LIST_MAX of the kernel. */
const largestAttribute = 65536;

/** An extended attribute of a file, of the link itself where it is one; `undefined` when it has none of that name. */
export function getExtendedAttribute(path: string | Buffer, name: string): Buffer | undefined {
  const value = Buffer.allocUnsafe(largestAttribute);
  const length = Number(lgetxattr(cPath(path), name, value, value.length));
  if (length >= 0) return Buffer.from(value.subarray(0, length));
  const errno = lastErrno();
  if (errno === 'ENODATA' || errno === 'EOPNOTSUPP') return undefined;
  throw systemError(`get attribute ${name} of ${path}`, errno);
}

/** The names of a file's extended attributes, of the link itself where it is one; none where the file system has none. */
export function listExtendedAttributes(path: string | Buffer): string[] {
  // Most files have none: asking for the length alone is cheap.
  const file = cPath(path);
  const needed = Number(llistxattr(file, null, 0));
  if (needed === 0) return [];
  const list = Buffer.allocUnsafe(largestAttribute);
  const length = needed < 0 ? needed : Number(llistxattr(file, list, list.length));
  if (length < 0) {
    const errno = lastErrno();
    if (errno === 'EOPNOTSUPP') return [];
    throw systemError(`list attributes of ${path}`, errno);
  }
  return list
    .toString('utf8', 0, length)
    .split('\0')
    .filter((name) => name !== '');
}
