import { type BigIntStats, constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { fsPath, readFolder, WherryError } from '@wherry/base';
import { isOpaque, isWhiteout } from '@wherry/linux';
import { idInContainer, type UserMappings } from '@wherry/runtime';
import { present } from './tree-archive.ts';

export interface PathChange {
  readonly Path: string;
  readonly Kind: 0 | 1 | 2;
}

const changed = 0;
const added = 1;
const deleted = 2;
const deepest = 1000;

/**
 * What a container changed, from its writable layer `upper` (overlayfs.rst: whiteouts, opaque folders) and the layers
 * below, topmost first. A folder has changed when its owner or mode or something in it has.
 */
export async function layerChanges(
  upper: string,
  lower: readonly string[],
  users?: UserMappings,
): Promise<PathChange[]> {
  const folder = await open(upper, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await folderChanges(folder.fd, lower, users, '', 0);
  } finally {
    await folder.close();
  }
}

/** Changes in a folder of the upper layer, of which the layers below have `lower`. */
async function folderChanges(
  folder: number,
  lower: readonly string[],
  users: UserMappings | undefined,
  prefix: string,
  depth: number,
): Promise<PathChange[]> {
  if (depth > deepest)
    throw new WherryError('tooLarge', `${prefix} has more than ${deepest} folders within each other`);
  const here = `/proc/self/fd/${folder}`;
  const changes: PathChange[] = [];
  const names = (await readFolder(here)).sort();
  for (const name of names) {
    const status = await present(lstat(fsPath(`${here}/${name}`), { bigint: true }));
    if (status === undefined) continue;
    const path = `${prefix}/${name}`;
    const old = await below(lower, name);
    if (isWhiteout(status)) {
      if (old !== undefined) changes.push({ Path: path, Kind: deleted });
      continue;
    }
    const inner = status.isDirectory() ? await subfolderChanges(`${here}/${name}`, old, users, path, depth) : [];
    if (old === undefined) changes.push({ Path: path, Kind: added });
    else if (inner.length > 0 || differs(old.status, status, users)) changes.push({ Path: path, Kind: changed });
    // One by one: a layer may have more files than a call takes arguments.
    for (const change of inner) changes.push(change);
  }
  if (isOpaque(here))
    for (const path of await hidden(lower, names)) changes.push({ Path: `${prefix}/${path}`, Kind: deleted });
  return changes;
}

async function subfolderChanges(
  path: string,
  old: Below | undefined,
  users: UserMappings | undefined,
  name: string,
  depth: number,
): Promise<PathChange[]> {
  const folder = await present(open(fsPath(path), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW));
  if (folder === undefined) return [];
  try {
    return await folderChanges(folder.fd, old?.folders ?? [], users, name, depth + 1);
  } finally {
    await folder.close();
  }
}

interface Below {
  readonly status: BigIntStats;
  /** Where it is a folder: those of the layers that show through, topmost first. */
  readonly folders: readonly string[];
}

/** What the layers below have under a name. */
async function below(lower: readonly string[], name: string): Promise<Below | undefined> {
  let top: BigIntStats | undefined;
  const folders: string[] = [];
  for (const folder of lower) {
    const path = `${folder}/${name}`;
    const status = await present(lstat(fsPath(path), { bigint: true }));
    if (status === undefined) continue;
    if (isWhiteout(status) || (top !== undefined && !status.isDirectory())) break;
    top ??= status;
    if (!status.isDirectory()) break;
    folders.push(path);
    if (isOpaque(path)) break;
  }
  return top && { status: top, folders };
}

/** Names that a folder below has and an opaque one above it no more. */
async function hidden(lower: readonly string[], names: readonly string[]): Promise<string[]> {
  const kept = new Set(names);
  const found = new Set<string>();
  for (const folder of lower)
    for (const name of (await present(readFolder(folder))) ?? []) if (!kept.has(name)) found.add(name);
  const gone: string[] = [];
  for (const name of [...found].sort()) if ((await below(lower, name)) !== undefined) gone.push(name);
  return gone;
}

function differs(old: BigIntStats, now: BigIntStats, users: UserMappings | undefined): boolean {
  if (old.mode !== now.mode || old.rdev !== now.rdev) return true;
  const { uidMappings, gidMappings } = users ?? {};
  if (Number(old.uid) !== idOf(uidMappings, now.uid) || Number(old.gid) !== idOf(gidMappings, now.gid)) return true;
  return !now.isDirectory() && (old.size !== now.size || old.mtimeNs !== now.mtimeNs);
}

const idOf = (mappings: UserMappings['uidMappings'] | undefined, id: bigint): number =>
  mappings === undefined ? Number(id) : idInContainer(mappings, Number(id));
