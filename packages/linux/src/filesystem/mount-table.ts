import { readFileSync } from 'node:fs';
import { libc } from '../libc.ts';

const statx = libc.func('int statx(int folder, const char *path, int flags, unsigned int mask, void *buffer)');
const currentFolder = -100; // AT_FDCWD
const noFollow = 0x100; // AT_SYMLINK_NOFOLLOW
const mountRoot = 0x2000n; // STATX_ATTR_MOUNT_ROOT
/** Of `struct statx`, and in it of `stx_attributes` and `stx_attributes_mask`, in bytes. */
const statxLayout = { size: 256, attributes: 8, attributesMask: 56 } as const;

/** One line of `/proc/<pid>/mountinfo` (proc(5)). */
export interface MountEntry {
  readonly id: number;
  readonly parentId: number;
  /** `major:minor`. */
  readonly device: string;
  /** The folder of the file system that is mounted, `/` for the whole. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  /** Of `shared:N`, `master:N`, `propagate_from:N`, `unbindable`. */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** The mounts of a process (default: this one), in the order of the kernel. */
export function listMounts(path = '/proc/self/mountinfo'): MountEntry[] {
  return parseMountInfo(readFileSync(path, 'utf8'));
}

/** Whether something is mounted exactly at `path` (absolute, without symbolic links). Asks no file system. */
export function isMountPoint(path: string): boolean {
  return listMounts().some((entry) => entry.mountPoint === path);
}

/**
 * As `isMountPoint`, at a cost that does not grow with the mounts (statx(2), Linux ≥ 5.8). Asks the file system that is
 * mounted there: not for one of a network.
 */
export function isMountRoot(path: string): boolean {
  const { size, attributes, attributesMask } = statxLayout;
  const buffer = Buffer.alloc(size);
  if (statx(currentFolder, path, noFollow, 0, buffer) < 0) return false;
  if ((buffer.readBigUInt64LE(attributesMask) & mountRoot) === 0n) return isMountPoint(path);
  return (buffer.readBigUInt64LE(attributes) & mountRoot) !== 0n;
}

/** The mount that `path` (absolute, without symbolic links) lies in: the deepest, of several at one place the last. */
export function mountHolding(path: string, mounts: readonly MountEntry[] = listMounts()): MountEntry | undefined {
  let found: MountEntry | undefined;
  for (const entry of mounts) {
    const prefix = entry.mountPoint === '/' ? '/' : `${entry.mountPoint}/`;
    if (path !== entry.mountPoint && !path.startsWith(prefix)) continue;
    if (found === undefined || entry.mountPoint.length >= found.mountPoint.length) found = entry;
  }
  return found;
}

/** Mounts at or below a folder, deepest first: the order in which to unmount them. */
export function mountsBelow(folder: string): MountEntry[] {
  const prefix = folder.endsWith('/') ? folder : `${folder}/`;
  return listMounts()
    .filter((entry) => entry.mountPoint === folder || entry.mountPoint.startsWith(prefix))
    .reverse()
    .sort((a, b) => b.mountPoint.length - a.mountPoint.length);
}

/** Reads the text of a mountinfo file. Lines that do not parse are left out. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [left, right] = line.split(' - ', 2);
    if (left === undefined || right === undefined) continue;
    const [id, parentId, device, root, mountPoint, options, ...propagation] = left.split(' ');
    const [type, source, superOptions] = right.split(' ');
    if (mountPoint === undefined || options === undefined || type === undefined || source === undefined) continue;
    entries.push({
      id: Number(id),
      parentId: Number(parentId),
      device: device ?? '',
      root: unescapeOctal(root ?? '/'),
      mountPoint: unescapeOctal(mountPoint),
      options: options.split(','),
      propagation,
      type,
      source: unescapeOctal(source),
      superOptions: (superOptions ?? '').split(','),
    });
  }
  return entries;
}

/** The kernel writes space, tab, newline, backslash (and `#`) as three octal digits. */
function unescapeOctal(field: string): string {
  if (!field.includes('\\')) return field;
  const bytes: number[] = [];
  const raw = Buffer.from(field);
  for (let at = 0; at < raw.length; at++) {
    const digits = raw.toString('latin1', at + 1, at + 4);
    if (raw[at] === 0x5c && /^[0-7]{3}$/.test(digits)) {
      bytes.push(Number.parseInt(digits, 8));
      at += 3;
    } else bytes.push(raw[at] as number);
  }
  return Buffer.from(bytes).toString();
}
