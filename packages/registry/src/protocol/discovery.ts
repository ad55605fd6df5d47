import { type Descriptor, mediaTypes } from '@wherry/oci';
import type { RegistryContext } from '../context.ts';
import { type RepositoryName, requireDigest } from '../names.ts';
import { refusal } from '../refusal.ts';
import type { Exchange } from './exchange.ts';
import { largestManifest } from './manifest.ts';

/** Entries of one answer at most. */
const largestPage = 10_000;
const catalogPage = 1000;

/** GET of a repository's tags, in pages ("Listing Tags"). */
export async function listTags(context: RegistryContext, exchange: Exchange, name: RepositoryName): Promise<void> {
  const theirs = await context.upstream?.tags(name);
  if (theirs === undefined && !context.contents.repositories.exists(name))
    throw refusal('NAME_UNKNOWN', 'repository name not known to registry', { detail: { name } });
  const tags = [...(theirs ?? (await context.contents.repositories.tags(name)))].sort(byTag);
  const page = pageOf(tags, exchange.query, largestPage);
  exchange.json(200, { name, tags: page.entries }, linkTo(`/v2/${name}/tags/list`, page));
}

/** GET of the repositories that the client may pull from. */
export function listRepositories(context: RegistryContext, exchange: Exchange): void {
  const names = context.contents.repositories.names().filter((name) => context.lists(exchange, name));
  const page = pageOf(names, exchange.query, catalogPage);
  exchange.json(200, { repositories: page.entries }, linkTo('/v2/_catalog', page));
}

/** GET of the manifests whose subject this is: an index, empty where there is none ("Listing Referrers"). */
export async function listReferrers(
  context: RegistryContext,
  exchange: Exchange,
  name: RepositoryName,
  reference: string,
): Promise<void> {
  const digest = requireDigest(reference);
  const { contents, upstream } = context;
  const theirs = (await upstream?.referrers(name, digest)) ?? (await contents.repositories.referrers(name, digest));
  const all = [...theirs].sort((one, other) => (one.digest < other.digest ? -1 : 1));
  const wanted = exchange.query.getAll('artifactType').filter((type) => type !== '');
  const found =
    wanted.length === 0
      ? all
      : all.filter(({ artifactType }) => artifactType !== undefined && wanted.includes(artifactType));
  const last = exchange.query.get('last') ?? '';
  const rest = last === '' ? found : found.filter((one) => one.digest > last);
  const manifests = oneIndex(rest);
  const query = new URLSearchParams(wanted.map((type) => ['artifactType', type] as [string, string]));
  query.set('last', manifests.at(-1)?.digest ?? '');
  exchange.json(
    200,
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests },
    {
      'Content-Type': mediaTypes.ociIndex,
      ...(wanted.length > 0 && { 'OCI-Filters-Applied': 'artifactType' }),
      ...(manifests.length < rest.length && { Link: `</v2/${name}/referrers/${digest}?${query}>; rel="next"` }),
    },
  );
}

/** As many as an index holds that every client reads: as large as any manifest that is taken, or one. */
function oneIndex(descriptors: readonly Descriptor[]): readonly Descriptor[] {
  let room = largestManifest - 1024;
  const count = descriptors.findIndex((one, index) => {
    room -= Buffer.byteLength(JSON.stringify(one)) + 1;
    return room < 0 && index > 0;
  });
  return count < 0 ? descriptors : descriptors.slice(0, count);
}

interface Page {
  readonly entries: readonly string[];
  /** Where the next page begins; there is one. */
  readonly next: { readonly last: string; readonly n: number } | undefined;
}

/** "Lexical order (i.e. case-insensitive alphanumeric order)"; names of repositories have no capitals. */
function byTag(one: string, other: string): number {
  const [low, high] = [one.toLowerCase(), other.toLowerCase()];
  if (low !== high) return low < high ? -1 : 1;
  return one < other ? -1 : Number(one > other);
}

/** `n` entries after `last`, of a sorted list. Throws UNSUPPORTED. */
function pageOf(sorted: readonly string[], query: URLSearchParams, most: number): Page {
  const asked = query.get('n');
  if (asked !== null && !/^\d+$/.test(asked))
    throw refusal('UNSUPPORTED', 'invalid number of results requested', {
      status: 400,
      detail: { n: asked.slice(0, 40) },
    });
  const n = Math.min(asked === null ? most : Number(asked), most);
  const start = firstAfter(sorted, query.get('last') ?? '');
  const entries = sorted.slice(start, start + n);
  const last = entries.at(-1);
  return { entries, next: last !== undefined && start + n < sorted.length ? { last, n } : undefined };
}

function firstAfter(sorted: readonly string[], last: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byTag(sorted[middle]!, last) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function linkTo(path: string, { next }: Page): Record<string, string> {
  if (next === undefined) return {};
  const query = new URLSearchParams({ last: next.last, n: String(next.n) });
  return { Link: `<${path}?${query}>; rel="next"` };
}
