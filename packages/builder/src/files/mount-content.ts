import { checksumsOf, combine } from './content-digest.ts';
import { copyEntries } from './copy-entries.ts';
import { Destination } from './destination.ts';
import type { FindOptions } from './source-tree.ts';
import { openTree, type TreeSpec } from './tree-spec.ts';

/** What a mount of a step shows, as a thread is told of it. */
export interface MountContent {
  readonly tree: TreeSpec;
  /** In the tree; links are followed within it. */
  readonly path: string;
}

export interface FolderCopy extends MountContent {
  /** A folder of the host, to which nobody else writes. */
  readonly into: string;
  /** It gets owner, mode and times of the one that is copied, too. */
  readonly asItself?: boolean | undefined;
}

/** A checksum of a file, or of all in a folder; `undefined` where there is nothing. */
export async function identifyContent(
  { tree: spec, path }: MountContent,
  { signal, bound }: FindOptions,
): Promise<string | undefined> {
  const tree = openTree(spec);
  const found = await tree.find(path, { signal, bound });
  if (found === undefined) return undefined;
  if (found.type !== 'directory') bound?.weigh(found.size);
  const entries = found.type === 'directory' ? await tree.list(found.path, { signal, bound }) : [found];
  const sums = await checksumsOf(tree, entries, signal);
  return combine([...sums].map(([entry, sum]) => `${sum} ${entry.path}`));
}

/** Copies what is in a folder, with its owners where the tree keeps them; beyond the bound, nothing. False: it is none. */
export async function copyFolder(
  { tree: spec, path, into, asItself }: FolderCopy,
  { signal, bound }: FindOptions,
): Promise<boolean> {
  const tree = openTree(spec);
  const folder = await tree.find(path, { signal, bound });
  if (folder?.type !== 'directory') return false;
  const skip = folder.path === '' ? 0 : folder.path.length + 1;
  const below = await tree.list(folder.path, { signal, bound });
  const entries = below.map((entry) => [entry, entry.path.slice(skip)] as const);
  await copyEntries(tree, asItself ? [[folder, ''], ...entries] : entries, new Destination(into), into, { signal });
  return true;
}
