import { createReadStream } from 'node:fs';
import { type TarInput, writeTar } from '@wherry/images';
import { numbersOfDevice } from '@wherry/linux';
import { readIgnored } from './build-context.ts';
import { openEntry } from './content-digest.ts';

import { type SourceEntry, SourceTree } from './source-tree.ts';

export interface PackOptions {
  /** Path of the Dockerfile within the folder: it is sent even where the ignore file names it, as docker's client does. */
  readonly dockerfileName: string;
  /** A Dockerfile that does not stand in the folder, sent under `dockerfileName`. */
  readonly dockerfile?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A folder as the archive that `POST /build` takes, a piece at a time: without what its ignore file names, and without
 * sockets. All files are root's. Throws `conflict` where a file changes while it is read.
 */
export async function* packContext(folder: string, options: PackOptions): AsyncGenerator<Buffer, void, undefined> {
  const { dockerfileName, dockerfile, signal } = options;
  const ignored = readIgnored(folder, dockerfile === undefined ? dockerfileName : '');
  const always = new Set(['.dockerignore', dockerfileName]);
  const tree = new SourceTree(folder, {
    includes: (path) => always.has(path) || ignored?.isIgnored(path) !== true,
    // The Dockerfile may stand below a folder that is ignored.
    mayReturn: ignored !== undefined && (ignored.mayReturn || dockerfileName.includes('/')),
    skipsSockets: true,
  });
  yield* writeTar(entriesOf(tree, await tree.list('', { signal }), options));
}

async function* entriesOf(
  tree: SourceTree,
  entries: readonly SourceEntry[],
  { dockerfileName, dockerfile, signal }: PackOptions,
): AsyncGenerator<TarInput, void, undefined> {
  for (const entry of entries) {
    signal?.throwIfAborted();
    yield tarInput(tree, entry);
  }
  if (dockerfile !== undefined) yield { name: dockerfileName, type: 'file', mode: 0o600, content: dockerfile };
}

function tarInput(tree: SourceTree, { path, type, mode, size, mtime, linkName, device }: SourceEntry): TarInput {
  const facts = { name: path, mode, mtime: Math.floor(mtime / 1000) };
  switch (type) {
    case 'symlink':
      return { ...facts, type, linkName };
    case 'file':
      return { ...facts, type, content: { size, body: contentOf(tree, path, size) } };
    case 'character':
    case 'block':
      return { ...facts, type, ...numbersOfDevice(device) };
    default:
      return { ...facts, type };
  }
}

/** Opened only when it is its turn; no more than was announced is read. */
async function* contentOf(tree: SourceTree, path: string, size: number): AsyncGenerator<Buffer, void, undefined> {
  if (size === 0) return;
  const file = openEntry(tree, path);
  yield* createReadStream('', {
    fd: file,
    start: 0,
    end: size - 1,
    highWaterMark: 256 * 1024,
  }) as AsyncIterable<Buffer>;
}

/** A Dockerfile alone, as such an archive. */
export function packDockerfile(name: string, content: Uint8Array): AsyncGenerator<Buffer, void, undefined> {
  return writeTar([{ name, type: 'file', mode: 0o600, content }]);
}
