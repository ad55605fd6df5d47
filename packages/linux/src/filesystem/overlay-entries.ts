import { type BigIntStats, lstatSync, type Stats } from 'node:fs';
import { errnoOf } from '@wherry/base';
import { getExtendedAttribute } from './xattr.ts';

/** Whether a file of a layer stands for one that is no more (overlayfs.rst, "whiteouts and opaque directories"). */
export function isWhiteout(status: Stats | BigIntStats): boolean {
  return status.isCharacterDevice() && BigInt(status.rdev) === 0n;
}

/**
 * Whether a folder of a layer hides what the layers below have in it. The kernel marks with `trusted.`, an overlay of an
 * unprivileged user with `user.`. False when it is not there.
 */
export function isOpaque(folder: string): boolean {
  try {
    return ['trusted', 'user'].some(
      (kind) => getExtendedAttribute(`${folder}/.`, `${kind}.overlay.opaque`)?.toString() === 'y',
    );
  } catch (error) {
    if (errnoOf(error) === 'notFound') return false;
    throw error;
  }
}

/** What an overlay shows under a name. */
export interface OverlayEntry {
  readonly status: BigIntStats;
  /** In the topmost layer that has it. */
  readonly path: string;
  /** Where it is a folder: those of the layers that show through, topmost first. */
  readonly folders: readonly string[];
}

/** What an overlay of these folders, topmost first, would show under a name of one part; without mounting it. */
export function lookUpInOverlay(folders: readonly string[], name: string): OverlayEntry | undefined {
  let top: Pick<OverlayEntry, 'status' | 'path'> | undefined;
  const merged: string[] = [];
  for (const folder of folders) {
    const path = `${folder}/${name}`;
    const status = statusOf(path);
    if (status === undefined) continue;
    if (isWhiteout(status) || (top !== undefined && !status.isDirectory())) break;
    top ??= { status, path };
    if (!status.isDirectory()) break;
    merged.push(path);
    if (isOpaque(path)) break;
  }
  return top && { ...top, folders: merged };
}

function statusOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}
