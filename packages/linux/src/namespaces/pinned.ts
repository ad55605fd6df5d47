import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bindMount, unmountAll } from '../filesystem/mount.ts';
import { checked, libc } from '../libc.ts';
import type { SwitchableNamespace } from './kinds.ts';
import { raiseLoopback } from './loopback.ts';
import { insideNewNamespaces } from './switch.ts';

const sethostname = libc.func('int sethostname(const char *name, size_t length)');

/** Names this thread's uts namespace (sethostname(2)): to be called inside of one of `insideNamespaces`. */
export function setHostname(name: string): void {
  checked(sethostname(name, Buffer.byteLength(name)) as number, `set the host name ${name}`);
}

export interface PinnedNamespacesRequest {
  /** Folder (made when missing) in which each namespace gets a file of its kind's name: `net`, `ipc`, `uts`. */
  readonly directory: string;
  readonly kinds: readonly SwitchableNamespace[];
  /** Set in a fresh `uts` namespace. */
  readonly hostname?: string | undefined;
  /** Called inside, synchronously: to write sysctls. A throw undoes everything. */
  readonly setUp?: (() => void) | undefined;
}

/**
 * Makes namespaces that live without a process: one unshare, then a bind mount of each onto a file,
 * in one synchronous stretch. Loopback is up in a new network namespace. All or nothing. The pool
 * threads must be warm (`warmThreadPool`). Gives the path of each.
 */
export function pinNewNamespaces(request: PinnedNamespacesRequest): Partial<Record<SwitchableNamespace, string>> {
  const paths: Partial<Record<SwitchableNamespace, string>> = {};
  if (request.kinds.length === 0) return paths;
  mkdirSync(request.directory, { recursive: true, mode: 0o700 });
  for (const kind of request.kinds) {
    paths[kind] = join(request.directory, kind);
    closeSync(openSync(paths[kind], 'a', 0o600));
  }
  try {
    insideNewNamespaces(request.kinds, () => {
      if (request.kinds.includes('uts') && request.hostname !== undefined) setHostname(request.hostname);
      if (request.kinds.includes('net')) raiseLoopback();
      request.setUp?.();
      for (const kind of request.kinds) bindMount(`/proc/thread-self/ns/${kind}`, paths[kind] as string);
    });
  } catch (error) {
    for (const path of Object.values(paths)) removePinnedNamespace(path);
    throw error;
  }
  return paths;
}

/** Makes a pinned network namespace at `path`, loopback up. */
export function pinNewNetworkNamespace(directory: string): string {
  return pinNewNamespaces({ directory, kinds: ['net'] }).net as string;
}

/** Drops a pin: the namespace ends when no process or socket is in it. Idempotent. */
export function removePinnedNamespace(path: string): void {
  unmountAll(path);
  rmSync(path, { force: true });
}
