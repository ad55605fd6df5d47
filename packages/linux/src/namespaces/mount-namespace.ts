import { closeSync, constants, openSync } from 'node:fs';
import { checked, libc } from '../libc.ts';
import { namespaceFlags } from './kinds.ts';

const unshareCall = libc.func('int unshare(int flags)');
const setnsCall = libc.func('int setns(int fd, int kind)');
const changeDirectory = libc.func('int fchdir(int fd)');
const changeRoot = libc.func('int chroot(const char *path)');
const ownRootAndDirectory = 0x00000200; // CLONE_FS
const pathOnly = 0o10000000; // O_PATH

/**
 * Runs `work` on this thread inside a mount namespace and comes back. `work` must be synchronous; other threads stay
 * where they are. setns(2) refuses a thread that shares its root and working directory with others, so this thread has
 * its own from the first call on (a later `process.chdir` does not reach the pool threads, which work on files); setns
 * sets both to the root of the namespace, and they are put back afterwards.
 */
export function insideMountNamespace<T>(path: string, work: () => T): T {
  const target = openSync(path, 'r');
  const home = openSync('/proc/thread-self/ns/mnt', 'r');
  const [root, directory] = ['/', '.'].map((at) => openSync(at, pathOnly | constants.O_DIRECTORY)) as [number, number];
  try {
    checked(unshareCall(ownRootAndDirectory) as number, 'unshare root and working directory');
    checked(setnsCall(target, namespaceFlags.mnt) as number, 'enter the mount namespace');
    try {
      return work();
    } finally {
      const back = [
        setnsCall(home, namespaceFlags.mnt),
        changeDirectory(root),
        changeRoot('.'),
        changeDirectory(directory),
      ];
      // A thread that cannot come home would see other files under the same names for ever.
      if (back.some((result) => result !== 0)) process.abort();
    }
  } finally {
    for (const descriptor of [target, home, root, directory]) closeSync(descriptor);
  }
}
