import { join, posix } from 'node:path';
import { codeOf, messageOf, WherryError } from '@wherry/base';
import { isArchive, unpackArchive } from './archive.ts';
import { copyEntries, copyEntry } from './copy-entries.ts';
import { type CopySource, relative } from './copy-sources.ts';
import type { Destination, Owner } from './destination.ts';
import type { ChangeMode } from './file-mode.ts';

export interface CopyFiles {
  readonly sources: readonly CopySource[];
  /** Absolute path in the image; a slash at its end means a folder. */
  readonly destination: string;
  readonly owner: Owner | undefined;
  readonly mode: ChangeMode | undefined;
  /** ADD: archives are unpacked. */
  readonly unpack: boolean;
  /** Keep the folders above each source, from `/./` in its path on. */
  readonly parents: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Copies sources into a root file system by the rules of COPY and ADD. Throws `invalid` in dockerd's words. */
export async function copyFiles(root: Destination, request: CopyFiles): Promise<void> {
  try {
    for (const source of request.sources) await copySource(root, source, request);
  } catch (error) {
    if (codeOf(error) !== 'invalid' && codeOf(error) !== 'corrupt') throw error;
    throw new WherryError('invalid', `failed to copy files: ${messageOf(error)}`, { cause: error });
  }
}

async function copySource(root: Destination, source: CopySource, request: CopyFiles): Promise<void> {
  const { owner = { uid: 0, gid: 0 }, mode, signal, parents } = request;
  const { tree, entry, entries } = source;
  const kept = parents ? keptPath(source.path) : '';
  const destination = parents ? `${request.destination}/${posix.dirname(kept)}/` : request.destination;
  const options = { owner: request.owner, mode, signal };
  if (entry.type === 'directory') {
    const folder = parents ? `${request.destination}/${kept}` : destination;
    const listed = entries.map((below) => [below, relative(entry, below.path)] as const);
    await copyEntries(tree, listed, root, folderFor(root, folder, owner), options);
    return;
  }
  if (request.unpack && source.mayUnpack && (await isArchive(tree, entry))) {
    await unpackArchive(tree, entry, root, destination, { signal });
    return;
  }
  const asFolder = destination.endsWith('/') || root.isFolder(destination);
  const path = asFolder ? `${destination}/${posix.basename(source.path)}` : destination;
  const target = root.place(path, owner);
  if (root.isFolder(path)) {
    throw new WherryError('invalid', `cannot overwrite directory ${JSON.stringify(posix.normalize(path))} with a file`);
  }
  root.makeRoom(target, false);
  await copyEntry(tree, entry, target, options);
}

function folderFor(root: Destination, path: string, owner: Owner): string {
  try {
    return root.folder(path, owner);
  } catch (error) {
    if (codeOf(error) !== 'invalid') throw error;
    throw new WherryError('invalid', `cannot copy to non-directory: ${posix.normalize(path)}`, { cause: error });
  }
}

/** What `--parents` keeps of a path: all of it, or what follows `/./`. */
function keptPath(path: string): string {
  const pivot = path.lastIndexOf('/./');
  return posix.normalize(pivot < 0 ? path : path.slice(pivot + 3));
}

/** A destination as it is written, from the working directory; a slash at its end stays. */
export function destinationPath(written: string, workingDirectory: string): string {
  if (written.startsWith('/')) return written;
  const path = join('/', workingDirectory, written);
  const isFolder = written.endsWith('/') || written === '.' || written === '';
  return isFolder && !path.endsWith('/') ? `${path}/` : path;
}
