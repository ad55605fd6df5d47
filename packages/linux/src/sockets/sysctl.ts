import { readFileSync, writeFileSync } from 'node:fs';
import { errnoOf, WherryError } from '@wherry/base';
import { inNetworkNamespace } from './network-namespace.ts';

/** `net.ipv4.conf.eth0.route_localnet`; a name with dots in it (`eth0.100`) is written with slashes, as in sysctl(8). */
function pathOf(name: string): string {
  const parts = name.includes('/') ? name.split('/') : name.split('.');
  if (parts[0] !== 'net' || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new WherryError('invalid', `"${name}" is not a network sysctl`);
  }
  return `/proc/sys/${parts.join('/')}`;
}

/** Reads a `net.*` sysctl in a network namespace (default: this thread's); `undefined` when the kernel has none of that name. */
export function readNetworkSysctl(name: string, netns?: string): string | undefined {
  const path = pathOf(name);
  return inNetworkNamespace(netns, () => {
    try {
      return readFileSync(path, 'utf8').trim();
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  });
}

/** Writes a `net.*` sysctl in a network namespace (default: this thread's). Throws `notFound`, `forbidden`, `invalid`. */
export function writeNetworkSysctl(name: string, value: string, netns?: string): void {
  const path = pathOf(name);
  inNetworkNamespace(netns, () => {
    try {
      writeFileSync(path, value);
    } catch (error) {
      const code = { ENOENT: 'notFound', EACCES: 'forbidden', EROFS: 'forbidden', EINVAL: 'invalid' } as const;
      throw new WherryError(
        code[errnoOf(error) as keyof typeof code] ?? 'internal',
        `sysctl ${name} = ${value}: ${errnoOf(error) ?? String(error)}`,
        { cause: error },
      );
    }
  });
}
