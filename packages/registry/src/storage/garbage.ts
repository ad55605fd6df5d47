import type { Digest } from '@wherry/oci';
import type { RepositoryName } from '../names.ts';
import { type Contents, key } from './contents.ts';

export interface CollectOptions {
  /** What was pushed or asked for within this time stays, ms. */
  readonly grace: number;
  /** Remove manifests that no tag leads to: not by itself, an index or a subject. */
  readonly untagged?: boolean | undefined;
  /** Remove manifests that nobody pulled for so long, ms: for caches. */
  readonly unusedFor?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a collection removed. */
export interface CollectReport {
  readonly manifests: number;
  /** Blobs that repositories gave up. */
  readonly links: number;
  /** Content that no repository has any more. */
  readonly blobs: number;
  readonly bytes: number;
  readonly uploads: number;
}

/**
 * Removes what nobody needs while pushes and pulls go on. Every change to a repository is made under its lock
 * and noted in `touched` first; those under way when a collection begins are waited for. So what a collection
 * finds unneeded, and not noted when it holds the lock itself, is. Manifests are read once each, without locks.
 */
export async function collect(contents: Contents, options: CollectOptions): Promise<CollectReport> {
  const report = { manifests: 0, links: 0, blobs: 0, bytes: 0, uploads: await contents.uploads.expire() };
  const touched = new Set<string>();
  contents.touched = touched;
  try {
    await contents.settled();
    const live = new Set<string>();
    for (const name of contents.repositories.names()) {
      if (options.signal?.aborted) return report;
      report.manifests += await removeManifests(contents, name, touched, options);
      report.links += await removeLinks(contents, name, touched, live, options);
      await contents.mutate(name, () => contents.repositories.removeIfEmpty(name));
    }
    for await (const digest of contents.blobs.list()) {
      if (options.signal?.aborted) return report;
      if (live.has(compact(digest)) || touched.has(digest)) continue;
      await contents.contentLocks.run(digest, async () => {
        if (touched.has(digest)) return;
        const size = (await contents.blobs.size(digest)) ?? 0;
        await contents.blobs.remove(digest);
        await contents.usage.changeTotal(-size);
        report.blobs++;
        report.bytes += size;
      });
    }
    return report;
  } finally {
    contents.touched = undefined;
  }
}

/** Tags whose manifest is gone, and manifests that the options say are not needed. */
async function removeManifests(
  contents: Contents,
  name: RepositoryName,
  touched: ReadonlySet<string>,
  { grace, untagged = false, unusedFor }: CollectOptions,
): Promise<number> {
  const { repositories } = contents;
  const roots: Digest[] = [];
  for (const tag of await repositories.tags(name)) {
    const digest = (await repositories.tag(name, tag))?.digest;
    if (digest === undefined) continue;
    if (await repositories.manifest(name, digest)) roots.push(digest);
    else await contents.mutate(name, () => removeDangling(contents, name, tag));
  }
  if (!untagged && unusedFor === undefined) return 0;
  const kept = untagged ? await reachable(contents, name, roots) : undefined;
  const unneeded: Digest[] = [];
  for await (const digest of repositories.manifests(name)) {
    const usedAt = (await repositories.manifestUsedAt(name, digest)) ?? 0;
    const isOld = usedAt < contents.now() - grace;
    const isUnused = unusedFor !== undefined && usedAt < contents.now() - unusedFor;
    if (isUnused || (isOld && kept?.has(digest) === false)) unneeded.push(digest);
  }
  let removed = 0;
  for (const digest of unneeded)
    await contents.mutate(name, async () => {
      if (!touched.has(key(name, digest)) && (await contents.removeManifest(name, digest))) removed++;
    });
  return removed;
}

async function removeDangling(contents: Contents, name: RepositoryName, tag: string): Promise<void> {
  const digest = (await contents.repositories.tag(name, tag))?.digest;
  if (digest === undefined || (await contents.repositories.manifest(name, digest))) return;
  await contents.repositories.removeTag(name, tag);
}

/** What tags lead to: by itself, as part of an index, as what it is attached to. */
async function reachable(
  contents: Contents,
  name: RepositoryName,
  roots: readonly Digest[],
): Promise<ReadonlySet<Digest>> {
  const found = new Set<Digest>();
  const queue = [...roots];
  for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
    if (found.has(digest)) continue;
    found.add(digest);
    queue.push(...((await contents.repositories.manifest(name, digest))?.manifests ?? []));
    for (const referrer of await contents.repositories.referrers(name, digest)) queue.push(referrer.digest as Digest);
  }
  return found;
}

/** Blobs that no manifest of the repository names and nobody relied on lately; notes in `live` what stays. */
async function removeLinks(
  contents: Contents,
  name: RepositoryName,
  touched: ReadonlySet<string>,
  live: Set<string>,
  { grace }: CollectOptions,
): Promise<number> {
  const { repositories } = contents;
  const named = new Set<Digest>();
  for await (const digest of repositories.manifests(name)) {
    live.add(compact(digest));
    for (const blob of (await repositories.manifest(name, digest))?.blobs ?? []) named.add(blob);
  }
  let removed = 0;
  for await (const digest of repositories.blobs(name)) {
    const stays = named.has(digest) || !(await isOld(contents, name, digest, grace));
    const gone = !stays && (await contents.mutate(name, () => removeLink(contents, name, digest, touched, grace)));
    if (gone) removed++;
    else live.add(compact(digest));
  }
  return removed;
}

async function removeLink(
  contents: Contents,
  name: RepositoryName,
  digest: Digest,
  touched: ReadonlySet<string>,
  grace: number,
): Promise<boolean> {
  if (touched.has(key(name, digest)) || !(await isOld(contents, name, digest, grace))) return false;
  const size = (await contents.repositories.blob(name, digest))?.size ?? 0;
  await contents.repositories.unlinkBlob(name, digest);
  await contents.usage.changeRepository(name, -size);
  return true;
}

async function isOld(contents: Contents, name: RepositoryName, digest: Digest, grace: number): Promise<boolean> {
  const link = await contents.repositories.blob(name, digest);
  return link !== undefined && link.usedAt < contents.now() - grace;
}

/** Half as long: there is one for each blob of the registry. */
function compact(digest: Digest): string {
  const colon = digest.indexOf(':');
  return Buffer.from(digest.slice(colon + 1), 'hex').toString('latin1');
}
