import { checked, libc } from '../libc.ts';

const lsetxattr = libc.func(
  'int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)',
);

/**
 * Sets an extended attribute of a file, of the link itself where it is one (lsetxattr(2)). Throws
 * `unsupported` where the file system has none, `exhausted` when it is too large for it.
 */
export function setExtendedAttribute(path: string, name: string, value: Uint8Array): void {
  checked(lsetxattr(path, name, value, value.length, 0), `set attribute ${name} of ${path}`);
}
