import type { BigIntStats } from 'node:fs';
import { posix } from 'node:path';
import type { PathStat } from '../containers/containers.ts';
import type { ContainerTree } from './container-tree.ts';

/** What is at a path, as the header `X-Docker-Container-Path-Stat` says it. Throws as `ContainerTree.locate` does. */
export function statPath(tree: ContainerTree, path: string): PathStat {
  using found = tree.locate(path, { follow: false });
  const { status } = found;
  return {
    name: baseName(path),
    size: Number(status.size),
    mode: goMode(status),
    mtime: goTime(status.mtimeNs),
    linkTarget: status.isSymbolicLink() ? tree.target(path) : '',
  };
}

/** Go's `filepath.Base`: of `/a/` it is `a`, of `/a/.` the dot. */
export function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  return trimmed === '' ? '/' : trimmed.slice(trimmed.lastIndexOf('/') + 1);
}

/** A path of a request as one from the root; a slash or dot at its end stays, which says what a link there means. */
export function absolutePath(path: string): string {
  const cleaned = posix.normalize(`/${path}`);
  const absolute = cleaned.length > 1 ? cleaned.replace(/\/$/, '') : cleaned;
  if (/(?:^|\/)\.$/.test(path)) return absolute === '/' ? '/.' : `${absolute}/.`;
  return path.endsWith('/') && absolute !== '/' ? `${absolute}/` : absolute;
}

/** Bits of Go's `fs.FileMode`. */
const goBits = {
  directory: 1 << 31,
  symlink: 1 << 27,
  device: 1 << 26,
  namedPipe: 1 << 25,
  socket: 1 << 24,
  setUid: 1 << 23,
  setGid: 1 << 22,
  characterDevice: 1 << 21,
  sticky: 1 << 20,
} as const;

export function goMode(status: BigIntStats): number {
  const mode = Number(status.mode);
  let bits = mode & 0o777;
  if (status.isDirectory()) bits |= goBits.directory;
  else if (status.isSymbolicLink()) bits |= goBits.symlink;
  else if (status.isBlockDevice()) bits |= goBits.device;
  else if (status.isCharacterDevice()) bits |= goBits.device | goBits.characterDevice;
  else if (status.isFIFO()) bits |= goBits.namedPipe;
  else if (status.isSocket()) bits |= goBits.socket;
  if ((mode & 0o4000) !== 0) bits |= goBits.setUid;
  if ((mode & 0o2000) !== 0) bits |= goBits.setGid;
  if ((mode & 0o1000) !== 0) bits |= goBits.sticky;
  return bits >>> 0;
}

/** RFC 3339 with as many digits of nanoseconds as there are. */
export function goTime(nanoseconds: bigint): string {
  const second = 1_000_000_000n;
  const fraction = ((nanoseconds % second) + second) % second;
  const whole = new Date(Number((nanoseconds - fraction) / second) * 1000).toISOString().slice(0, 19);
  const digits = `${fraction}`.padStart(9, '0').replace(/0+$/, '');
  return digits === '' ? `${whole}Z` : `${whole}.${digits}Z`;
}
