import { codeOf, errnoOf } from '@wherry/base';
import { checked, lastErrno, libc, systemError } from '../libc.ts';
import { mountFlags, unmountFlags } from './mount-flags.ts';
import { parseMountOptions } from './mount-options.ts';

const mountCall = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const unmountCall = libc.func('int umount2(const char *target, int flags)');

export interface MountRequest {
  /** Device, folder or label; for virtual file systems only a name in the mount table. */
  readonly source: string;
  readonly target: string;
  readonly type?: string | undefined;
  /** Of `mountFlags`, joined by `|`. */
  readonly flags?: number | undefined;
  /** Options of the file system, comma-separated; at most one page. */
  readonly data?: string | undefined;
}

/** mount(2). Throws a `WherryError` whose `details.errno` names the cause. */
export function mount({ source, target, type, flags = 0, data }: MountRequest): void {
  checked(mountCall(source, target, type ?? null, flags, data ?? null) as number, `mount ${source} on ${target}`);
}

/**
 * `mount` on a thread of the pool: one of a network file system waits for the other side. Takes options as mount(8)
 * does: the flags of the kernel out of them, the rest for the file system.
 */
export async function mountByOptions(
  { source, target, type }: Pick<MountRequest, 'source' | 'target' | 'type'>,
  options: readonly string[],
): Promise<void> {
  const { flags, propagation, data } = parseMountOptions(options);
  const call = `mount ${source} on ${target}`;
  await mountAside(call, [source, target, type ?? null, flags, data === '' ? null : data]);
  try {
    const { bind, recursive, remount } = mountFlags;
    if (propagation !== 0) mount({ source: 'none', target, flags: propagation });
    // A bind mount takes its other flags with a second call.
    if ((flags & bind) !== 0 && (flags & ~(bind | recursive)) !== 0)
      mount({ source: 'none', target, flags: (flags & ~recursive) | remount });
  } catch (error) {
    unmount(target, { lazy: true });
    throw error;
  }
}

function mountAside(call: string, parameters: unknown[]): Promise<void> {
  return new Promise((resolve, reject) => {
    mountCall.async(...parameters, (error: unknown, result: number) => {
      if (error) reject(error);
      else if (result < 0) reject(systemError(call, lastErrno()));
      else resolve();
    });
  });
}

export interface BindMountOptions {
  /** Takes the mounts below the source too. */
  readonly recursive?: boolean | undefined;
  /** A second call (remount) makes this mount, not those below it, read-only. */
  readonly readOnly?: boolean | undefined;
  /** More of `mountFlags` for the remount, e.g. `noDevices | noSetUid`. */
  readonly flags?: number | undefined;
}

/** Makes `source` (file or folder) visible at `target` too, which must exist and be of the same sort. */
export function bindMount(source: string, target: string, options: BindMountOptions = {}): void {
  mount({ source, target, flags: mountFlags.bind | (options.recursive === true ? mountFlags.recursive : 0) });
  const flags = (options.flags ?? 0) | (options.readOnly === true ? mountFlags.readOnly : 0);
  if (flags === 0) return;
  try {
    mount({ source: 'none', target, flags: mountFlags.bind | mountFlags.remount | flags });
  } catch (error) {
    unmount(target, { lazy: true });
    throw error;
  }
}

/** Mounts a tmpfs. `sizeBytes` undefined: the kernel's default (half of the memory). */
export function mountTmpfs(
  target: string,
  {
    sizeBytes,
    mode = 0o1777,
    flags = mountFlags.noSetUid | mountFlags.noDevices,
    source = 'tmpfs',
  }: {
    readonly sizeBytes?: number | undefined;
    readonly mode?: number | undefined;
    readonly flags?: number | undefined;
    readonly source?: string | undefined;
  } = {},
): void {
  const size = sizeBytes === undefined ? '' : `,size=${sizeBytes}`;
  mount({ source, target, type: 'tmpfs', flags, data: `mode=${mode.toString(8)}${size}` });
}

export type Propagation = 'private' | 'slave' | 'shared';

/** Sets how mounts below `target` (a mount point) travel to and from its copies; mount_namespaces(7). */
export function setPropagation(target: string, kind: Propagation, { recursive = false } = {}): void {
  mount({ source: 'none', target, flags: mountFlags[kind] | (recursive ? mountFlags.recursive : 0) });
}

/**
 * umount2(2) without following a symbolic link at the end. Gives false when nothing was mounted
 * there or the path is gone. `lazy` detaches at once and lets the kernel finish when the last user
 * is gone; without it a busy mount throws with code `conflict`.
 */
export function unmount(target: string, { lazy = false }: { readonly lazy?: boolean } = {}): boolean {
  if ((unmountCall(target, unmountFlags.noFollow | (lazy ? unmountFlags.detach : 0)) as number) === 0) return true;
  const errno = lastErrno();
  if (errno === 'EINVAL' || errno === 'ENOENT') return false;
  throw systemError(`unmount ${target}`, errno);
}

/** Unmounts everything stacked at `target`; lazily where it is busy. Gives how many mounts went. */
export function unmountAll(target: string): number {
  let count = 0;
  for (;;) {
    try {
      if (!unmount(target)) return count;
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (!unmount(target, { lazy: true })) return count;
    }
    count++;
  }
}

/** Lets no mount or unmount at or below `target` travel any more. False when nothing is mounted there. */
export function makePrivate(target: string): boolean {
  try {
    setPropagation(target, 'private', { recursive: true });
    return true;
  } catch (error) {
    if (codeOf(error) === 'invalid' || codeOf(error) === 'notFound') return false;
    throw error;
  }
}

/**
 * `unmountAll` for binds of what is not ours: made private first, since the end of what is mounted below a recursive bind
 * travels to where that is mounted (mount_namespaces(7)), which is still in use.
 */
export function unmountBind(target: string): void {
  while (makePrivate(target)) if (!unmount(target, { lazy: true })) return;
}

function isBusy(error: unknown): boolean {
  return (error as { details?: { errno?: string } }).details?.errno === 'EBUSY' || errnoOf(error) === 'EBUSY';
}

/**
 * As `unmountAll`, on a pool thread: the end of a file system waits for its data to be on the disk
 * (an overlay's for those of the whole file system of its writable layer).
 */
export async function unmountInBackground(target: string): Promise<void> {
  for (;;) {
    const errno = await unmountOnThread(target, unmountFlags.noFollow);
    if (errno === 'EINVAL' || errno === 'ENOENT') return;
    if (errno === undefined) continue;
    if (errno !== 'EBUSY') throw systemError(`unmount ${target}`, errno);
    const detached = await unmountOnThread(target, unmountFlags.noFollow | unmountFlags.detach);
    if (detached !== undefined && detached !== 'EBUSY') return;
  }
}

/** The error's name; `undefined` after success. */
function unmountOnThread(target: string, flags: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    unmountCall.async(target, flags, (error: unknown, result: number) => {
      if (error) reject(error);
      else resolve(result === 0 ? undefined : lastErrno());
    });
  });
}
