import { posix } from 'node:path';
import ignore from '@balena/dockerignore';
import { WherryError } from '@wherry/base';
import { checksumsOf, combine } from './content-digest.ts';
import type { SourceEntry, SourceTree } from './source-tree.ts';
import { hasWildcards, wildcardPattern } from './wildcard.ts';

/** One thing to copy: a file, or what is in a folder. */
export interface CopySource {
  readonly tree: SourceTree;
  /** Links of its own path followed. */
  readonly entry: SourceEntry;
  /** The path that was asked for, from the tree's root. */
  readonly path: string;
  /** Of a folder: everything below it. */
  readonly entries: readonly SourceEntry[];
  /** `file:…` or `dir:…` */
  readonly checksum: string;
  /** Checksums by path from the source, for saying what changed. */
  readonly manifest: ReadonlyMap<string, string>;
  /** An archive of it may be unpacked. */
  readonly mayUnpack: boolean;
}

export interface CopySourceOptions {
  /** The tree is the build's context: paths must stay in it, and what is missing may have been left out of it. */
  readonly isContext: boolean;
  readonly exclude: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Finds what a source of COPY or ADD means, wildcards included. Throws `invalid` in dockerd's words. */
export async function findSources(
  tree: SourceTree,
  written: string,
  options: CopySourceOptions,
): Promise<readonly CopySource[]> {
  const path = written.replace(/^\/+/, '').replace(/^(?:\.\/)+/, '');
  const clean = posix.normalize(path);
  if (clean === '..' || clean.startsWith('../')) {
    throw new WherryError('invalid', `forbidden path outside the build context: ${written} ()`);
  }
  if (!hasWildcards(path)) return [await findOne(tree, path, options)];
  const found: CopySource[] = [];
  for (const match of await matches(tree, clean, options.signal)) found.push(await findOne(tree, match, options));
  return found;
}

/** One checksum of all sources of an instruction. */
export function checksumOfAll(sources: readonly { readonly checksum: string }[]): string {
  if (sources.length === 1) return sources[0]!.checksum;
  return `multi:${combine(sources.map(({ checksum }) => checksum))}`;
}

/** Looks no further than the folder before the first wildcard. */
async function matches(tree: SourceTree, pattern: string, signal?: AbortSignal): Promise<readonly string[]> {
  const parts = pattern.split('/');
  const first = parts.findIndex(hasWildcards);
  const prefix = parts.slice(0, first).join('/');
  const folder = await tree.find(prefix);
  if (folder?.type !== 'directory') return [];
  const expression = wildcardPattern(pattern);
  // Docker takes a pattern that is none for one that matches nothing.
  if (expression === undefined) return [];
  return (await tree.list(folder.path, signal))
    .map(({ path }) => posix.join(prefix, path.slice(folder.path === '' ? 0 : folder.path.length + 1)))
    .filter((path) => expression.test(path));
}

async function findOne(tree: SourceTree, path: string, options: CopySourceOptions): Promise<CopySource> {
  const entry = await tree.find(path);
  if (entry === undefined) {
    const missing = `stat ${path}: file does not exist`;
    const hint = options.isContext ? 'file not found in build context or excluded by .dockerignore: ' : '';
    throw new WherryError('invalid', hint + missing);
  }
  const below = entry.type === 'directory' ? await tree.list(entry.path, options.signal) : [];
  const entries = filtered(entry, below, options.exclude);
  const sums = await checksumsOf(tree, entry.type === 'directory' ? entries : [entry], options.signal);
  const manifest = new Map<string, string>();
  for (const [{ path: full }, sum] of sums) manifest.set(relative(entry, full), sum);
  const lines = [...manifest].map(([name, sum]) => `${sum} ${name}`);
  const checksum = entry.type === 'directory' ? `dir:${combine(lines)}` : `file:${sums.get(entry)!}`;
  return { tree, entry, path, entries, checksum, manifest, mayUnpack: true };
}

/** A path as it is below its source. */
export function relative(source: SourceEntry, path: string): string {
  if (path === source.path) return posix.basename(path);
  return source.path === '' ? path : path.slice(source.path.length + 1);
}

function filtered(
  source: SourceEntry,
  entries: readonly SourceEntry[],
  exclude: readonly string[],
): readonly SourceEntry[] {
  if (exclude.length === 0) return entries;
  const filter = ignore().add([...exclude]);
  return entries.filter(({ path }) => !filter.ignores(relative(source, path)));
}
