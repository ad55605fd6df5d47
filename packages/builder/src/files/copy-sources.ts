import { posix } from 'node:path';
import ignore from '@balena/dockerignore';
import { WherryError } from '@wherry/base';
import { checksumsOf, combine } from './content-digest.ts';
import type { FindOptions, SourceEntry, SourceTree } from './source-tree.ts';
import { openTree, type TreeSpec } from './tree-spec.ts';
import { hasWildcards, wildcardPattern } from './wildcard.ts';

/** What a word of COPY or ADD asks for, as a thread is told of it. */
export interface WantedSource {
  readonly tree: TreeSpec;
  readonly written: string;
  /** The tree is the build's context: paths must stay in it, and what is missing may have been left out of it. */
  readonly isContext: boolean;
  readonly exclude: readonly string[];
}

/** One thing to copy: a file, or what is in a folder. */
export interface CopySource {
  readonly tree: SourceTree;
  /** Links of its own path followed. */
  readonly entry: SourceEntry;
  /** The path that was asked for, from the tree's root. */
  readonly path: string;
  /** Of a folder: everything below it. */
  readonly entries: readonly SourceEntry[];
}

/** What a source is to the cache. */
export interface SourceFacts {
  /** The path that was asked for, from the tree's root. */
  readonly path: string;
  /** `file:…` or `dir:…`, of name and content; `multi:…` of many. */
  readonly checksum: string;
  /** How many files and folders it is that were asked for. */
  readonly count: number;
  /** Checksums by path from the tree's root, for saying what changed; without those of many files. */
  readonly manifest: ReadonlyMap<string, string>;
}

/** A step with more files than this does not say which of them changed. */
export const mostNamedFiles = 500;

/** Finds what a source of COPY or ADD means, wildcards included. Throws `invalid` in dockerd's words. */
export async function findSources(wanted: WantedSource, find: FindOptions): Promise<readonly CopySource[]> {
  const { written } = wanted;
  const tree = openTree(wanted.tree);
  const options = { ...wanted, ...find };
  const path = written.replace(/^\/+/, '').replace(/^(?:\.\/)+/, '');
  const clean = posix.normalize(path);
  if (clean === '..' || clean.startsWith('../')) {
    throw new WherryError('invalid', `forbidden path outside the build context: ${written} ()`);
  }
  const found: CopySource[] = [];
  const asked = hasWildcards(path) ? await matches(tree, clean, options) : [path];
  for (const one of asked) found.push(await findOne(tree, one, options));
  if (wanted.exclude.length === 0) return found;
  const filter = ignore().add([...wanted.exclude]);
  return found.filter(
    ({ entry, path: name }) => entry.type === 'directory' || !isExcluded(filter, posix.normalize(name)),
  );
}

/** One checksum of all sources of an instruction. */
export function checksumOfAll(sources: readonly { readonly checksum: string }[]): string {
  if (sources.length === 1) return sources[0]!.checksum;
  return `multi:${combine(sources.map(({ checksum }) => checksum))}`;
}

/** What a word of COPY or ADD means to the cache; many files are one source. Throws `invalid` in dockerd's words. */
export async function describeSources(wanted: WantedSource, options: FindOptions): Promise<readonly SourceFacts[]> {
  const facts: SourceFacts[] = [];
  for (const source of await findSources(wanted, options)) facts.push(await describeSource(source, options.signal));
  if (facts.length <= mostNamedFiles) return facts;
  return [{ path: wanted.written, checksum: checksumOfAll(facts), count: facts.length, manifest: new Map() }];
}

/** Reads what a source holds. */
async function describeSource(source: CopySource, signal?: AbortSignal): Promise<SourceFacts> {
  const { tree, entry, path, entries } = source;
  const isFolder = entry.type === 'directory';
  const sums = await checksumsOf(tree, isFolder ? entries : [entry], signal);
  const lines = [...sums].map(([{ path: full }, sum]) => `${sum} ${relative(entry, full)}`);
  // The name counts, which the copy has; and what `--parents` keeps of the path.
  const name = path.includes('/./') ? path : posix.join('/', path, '.');
  const checksum = isFolder ? `dir:${combine([name, ...lines])}` : `file:${combine([name, sums.get(entry)!])}`;
  const manifest = new Map<string, string>();
  for (const [{ path: full }, sum] of sums.size > mostNamedFiles ? [] : sums) {
    manifest.set(isFolder ? posix.join(path, relative(entry, full)) : path, sum);
  }
  return { path, checksum, count: 1, manifest };
}

/** Looks no further than the folder before the first wildcard. */
async function matches(tree: SourceTree, pattern: string, options: FindOptions): Promise<readonly string[]> {
  const parts = pattern.split('/');
  const first = parts.findIndex(hasWildcards);
  const prefix = parts.slice(0, first).join('/');
  const folder = await tree.find(prefix, options);
  if (folder?.type !== 'directory') return [];
  const expression = wildcardPattern(pattern);
  // Docker takes a pattern that is none for one that matches nothing.
  if (expression === undefined) return [];
  return (await tree.list(folder.path, options))
    .map(({ path }) => posix.join(prefix, path.slice(folder.path === '' ? 0 : folder.path.length + 1)))
    .filter((path) => expression.test(path));
}

async function findOne(tree: SourceTree, path: string, options: WantedSource & FindOptions): Promise<CopySource> {
  const entry = await tree.find(path, options);
  if (entry === undefined) {
    const missing = `stat ${path}: file does not exist`;
    const hint = options.isContext ? 'file not found in build context or excluded by .dockerignore: ' : '';
    throw new WherryError('invalid', hint + missing);
  }
  const below = entry.type === 'directory' ? await tree.list(entry.path, options) : [];
  if (entry.type !== 'directory') options.bound?.weigh(entry.size);
  return { tree, entry, path, entries: filtered(entry, below, options.exclude) };
}

/** A path as it is below its source. */
export function relative(source: SourceEntry, path: string): string {
  if (path === source.path) return posix.basename(path);
  return source.path === '' ? path : path.slice(source.path.length + 1);
}

/** A file that is named itself, or by a pattern, goes by its path and by its name. */
function isExcluded(filter: ReturnType<typeof ignore>, path: string): boolean {
  return filter.ignores(path) || filter.ignores(posix.basename(path));
}

function filtered(
  source: SourceEntry,
  entries: readonly SourceEntry[],
  exclude: readonly string[],
): readonly SourceEntry[] {
  if (exclude.length === 0) return entries;
  const filter = ignore().add([...exclude]);
  const kept = new Set<string>();
  for (const { path } of entries) {
    if (filter.ignores(relative(source, path))) continue;
    // What a pattern with `!` brings back needs the folders above it.
    for (let one = path; !kept.has(one) && one !== source.path && one !== '.'; one = posix.dirname(one)) kept.add(one);
  }
  return entries.filter(({ path }) => kept.has(path));
}
