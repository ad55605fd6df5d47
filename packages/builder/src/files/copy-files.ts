import { join, posix } from 'node:path';
import { codeOf, messageOf, WherryError } from '@wherry/base';
import { isArchive, unpackArchive } from './archive.ts';
import { copyEntries, copyEntry } from './copy-entries.ts';
import { type CopySource, findSources, relative, type WantedSource } from './copy-sources.ts';
import { Destination, type Owner } from './destination.ts';
import { type ChangeMode, parseMode } from './file-mode.ts';
import type { WorkBound } from './work-bound.ts';

/** A source with what is to be done with it. */
export interface ChosenSource extends WantedSource {
  /** An archive of it may be unpacked. */
  readonly mayUnpack: boolean;
  /** Its name in the image; default: as it is written. */
  readonly as?: string | undefined;
}

export interface CopyFiles {
  /** The root file system to copy into. */
  readonly root: string;
  readonly sources: readonly ChosenSource[];
  /** Absolute path in the image; a slash at its end means a folder. */
  readonly destination: string;
  readonly owner: Owner | undefined;
  /** As `--chmod` has it. */
  readonly mode: string | undefined;
  /** ADD: archives are unpacked. */
  readonly unpack: boolean;
  /** Keep the folders above each source, from `/./` in its path on. */
  readonly parents: boolean;
}

interface CopyOptions {
  readonly signal?: AbortSignal | undefined;
  /** Throws `MoreWork` beyond it, before anything is copied. */
  readonly bound?: WorkBound | undefined;
}

interface Copy extends Omit<CopyFiles, 'mode'> {
  readonly mode: ChangeMode | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Copies sources into a root file system by the rules of COPY and ADD. Throws `invalid` in dockerd's words. */
export async function copyFiles(request: CopyFiles, { signal, bound }: CopyOptions): Promise<void> {
  const found: [ChosenSource, CopySource][] = [];
  for (const chosen of request.sources) {
    for (const source of await findSources(chosen, { signal, bound })) {
      found.push([chosen, { ...source, path: chosen.as ?? source.path }]);
    }
  }
  const root = new Destination(request.root);
  const copy = { ...request, mode: request.mode === undefined ? undefined : parseMode(request.mode), signal };
  try {
    for (const [{ mayUnpack }, source] of found) await copySource(root, source, mayUnpack, copy);
  } catch (error) {
    if (codeOf(error) !== 'invalid' && codeOf(error) !== 'corrupt') throw error;
    throw new WherryError('invalid', `failed to copy files: ${messageOf(error)}`, { cause: error });
  }
}

async function copySource(root: Destination, source: CopySource, mayUnpack: boolean, request: Copy): Promise<void> {
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
  if (request.unpack && mayUnpack && (await isArchive(tree, entry))) {
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
