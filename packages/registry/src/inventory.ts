import { join } from 'node:path';
import { systemRandom } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import type { RepositoryName } from './names.ts';
import { AtomicFiles } from './storage/files.ts';
import { RepositoryStore } from './storage/repository-store.ts';

export interface TagSummary {
  readonly tag: string;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly taggedAt: number;
}

/** What a repository holds. */
export interface RepositorySummary {
  readonly name: string;
  readonly tags: readonly TagSummary[];
  readonly manifests: number;
  readonly blobs: number;
  /** Each blob and manifest once. */
  readonly bytes: number;
}

/** Reads a registry's folder, whether a process serves it or not; changes nothing. */
export async function* summarise(directory: string): AsyncGenerator<RepositorySummary> {
  // Nothing is written, so that the folder of temporary files is never made.
  const files = new AtomicFiles(join(directory, 'temporary', systemRandom.hex(8)));
  const store = new RepositoryStore(join(directory, 'repositories'), files);
  await store.open();
  for (const name of store.names()) yield await summariseOne(store, name);
}

async function summariseOne(store: RepositoryStore, name: RepositoryName): Promise<RepositorySummary> {
  let bytes = 0;
  let blobs = 0;
  let manifests = 0;
  for await (const digest of store.blobs(name)) {
    blobs++;
    bytes += (await store.blob(name, digest))?.size ?? 0;
  }
  const types = new Map<Digest, string>();
  for await (const digest of store.manifests(name)) {
    manifests++;
    const record = await store.manifest(name, digest);
    bytes += record?.size ?? 0;
    if (record) types.set(digest, record.mediaType);
  }
  const tags: TagSummary[] = [];
  for (const tag of await store.tags(name)) {
    const record = await store.tag(name, tag);
    const mediaType = record && types.get(record.digest);
    if (record && mediaType !== undefined)
      tags.push({ tag, digest: record.digest, mediaType, taggedAt: record.taggedAt });
  }
  return { name, tags, manifests, blobs, bytes };
}
