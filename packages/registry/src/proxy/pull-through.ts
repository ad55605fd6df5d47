import { type Logger, messageOf } from '@wherry/base';
import { algorithmOf, type Descriptor, type Digest, digestOf, hashFor, hexOf, isDigest } from '@wherry/oci';
import { isTag, type ManifestReference, type RepositoryName } from '../names.ts';
import { largestManifest, manifestTypes, parseManifest } from '../protocol/manifest.ts';
import { refusal, refusalOf } from '../refusal.ts';
import type { Contents, StoredManifest } from '../storage/contents.ts';
import type { BlobBytes } from '../storage/opened-blob.ts';
import { Download } from './download.ts';
import type { Upstream } from './upstream.ts';
import { readAll, type UpstreamClient } from './upstream-client.ts';

const largestList = 16 * 1024 * 1024;
const mostPages = 100;
/** How exactly it is known when a manifest was used last, ms. */
const usePrecision = 60 * 60 * 1000;

/** Keeps what was asked for once. Tags are asked for anew each time; what a digest names never changes. */
export class PullThrough implements Upstream {
  readonly #contents: Contents;
  readonly #client: UpstreamClient;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  readonly #manifests = new Map<string, Promise<StoredManifest | undefined>>();
  readonly #downloads = new Map<string, Promise<Download | undefined>>();

  constructor(contents: Contents, client: UpstreamClient, log: Logger) {
    this.#contents = contents;
    this.#client = client;
    this.#log = log;
  }

  async manifest(name: RepositoryName, reference: ManifestReference): Promise<StoredManifest | undefined> {
    const kept = reference.kind === 'digest' ? await this.#contents.manifest(name, reference) : undefined;
    const found = kept ?? (await this.#shared(name, reference));
    if (found) await this.#use(name, found);
    return found;
  }

  async blobSize(name: RepositoryName, digest: Digest): Promise<number | undefined> {
    const response = await this.#client.send(name, `blobs/${digest}`, { method: 'HEAD', signal: this.#closing.signal });
    const length = response.headers.get('content-length');
    return response.status === 200 && length !== null ? Number(length) : undefined;
  }

  async blob(name: RepositoryName, digest: Digest): Promise<BlobBytes | undefined> {
    const key = `${name}@${digest}`;
    let download = this.#downloads.get(key);
    if (download === undefined) {
      download = Download.start(this.#contents, this.#client, name, digest, this.#log);
      this.#downloads.set(key, download);
      const end = (): void => void this.#downloads.delete(key);
      download.then((started) => (started ? started.done.then(end, end) : end()), end);
    }
    const started = await download;
    // Stored between our look and now: the file has moved.
    return started && (await started.open().catch(() => this.#contents.openBlob(name, digest)));
  }

  async tags(name: RepositoryName): Promise<readonly string[] | undefined> {
    const found = new Set<string>();
    let path: string | undefined = 'tags/list?n=10000';
    for (let page = 0; path !== undefined && page < mostPages; page++) {
      const body = await this.#list(name, path);
      if (body === undefined || body === 'none') return undefined;
      const { tags } = body.value as { tags?: unknown };
      if (Array.isArray(tags)) for (const tag of tags) if (typeof tag === 'string' && isTag(tag)) found.add(tag);
      path = body.next;
    }
    return [...found].sort();
  }

  async referrers(name: RepositoryName, subject: Digest): Promise<readonly Descriptor[] | undefined> {
    // Where clients keep them at a registry that knows no referrers ("Referrers Tag Schema").
    const tag = { kind: 'tag', tag: `${algorithmOf(subject)}-${hexOf(subject).slice(0, 64)}` } as const;
    const tagged = (index: StoredManifest | undefined): readonly Descriptor[] | undefined =>
      index && manifestsOf(JSON.parse(index.content.toString('utf8')));
    const found = new Map<string, Descriptor>();
    let path: string | undefined = `referrers/${subject}`;
    for (let page = 0; path !== undefined && page < mostPages; page++) {
      const body = await this.#list(name, path);
      if (body === 'none') return tagged(await this.manifest(name, tag).catch(() => undefined));
      if (body === undefined) return tagged(await this.#contents.manifest(name, tag));
      for (const one of manifestsOf(body.value)) found.set(one.digest, one);
      path = body.next;
    }
    return [...found.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    const running = await Promise.allSettled(this.#downloads.values());
    for (const { value } of running.filter((one) => one.status === 'fulfilled')) {
      value?.cancel();
      await value?.done.catch(() => undefined);
    }
  }

  /** One question to upstream for all who ask the same at the same time. */
  #shared(name: RepositoryName, reference: ManifestReference): Promise<StoredManifest | undefined> {
    const key = `${name}@${reference.kind === 'tag' ? reference.tag : reference.digest}`;
    let asked = this.#manifests.get(key);
    if (asked === undefined) {
      asked = this.#ask(name, reference).finally(() => this.#manifests.delete(key));
      this.#manifests.set(key, asked);
    }
    return asked;
  }

  async #ask(name: RepositoryName, reference: ManifestReference): Promise<StoredManifest | undefined> {
    try {
      const known = reference.kind === 'tag' ? await this.#unchanged(name, reference.tag) : undefined;
      return known ?? (await this.#fetch(name, reference));
    } catch (error) {
      if (refusalOf(error).code !== 'UNAVAILABLE') throw error;
      const kept = await this.#contents.manifest(name, reference);
      if (kept === undefined) throw error;
      this.#log.warn('upstream does not answer; what is kept is served', { repository: name, error: messageOf(error) });
      return kept;
    }
  }

  /** The manifest that is kept, where upstream's tag points at it. */
  async #unchanged(name: RepositoryName, tag: string): Promise<StoredManifest | undefined> {
    const kept = await this.#contents.manifest(name, { kind: 'tag', tag });
    if (kept === undefined) return undefined;
    const headers = { Accept: manifestTypes.join(', ') };
    const response = await this.#client.send(name, `manifests/${tag}`, {
      method: 'HEAD',
      headers,
      signal: this.#closing.signal,
    });
    if (response.status === 429 || response.status >= 500)
      throw refusal('UNAVAILABLE', `the upstream registry answers with status ${response.status}`);
    return response.status === 200 && response.headers.get('docker-content-digest') === kept.digest ? kept : undefined;
  }

  async #fetch(name: RepositoryName, reference: ManifestReference): Promise<StoredManifest | undefined> {
    const text = reference.kind === 'tag' ? reference.tag : reference.digest;
    const headers = { Accept: manifestTypes.join(', ') };
    const response = await this.#client.send(name, `manifests/${text}`, { headers, signal: this.#closing.signal });
    if (response.status !== 200) {
      await response.body?.cancel();
      if (![401, 403, 404].includes(response.status))
        throw refusal('UNAVAILABLE', `the upstream registry answers with status ${response.status}`);
      if (response.status === 404 && reference.kind === 'tag')
        await this.#contents.mutate(name, () => this.#contents.repositories.removeTag(name, reference.tag));
      return undefined;
    }
    const content = await readAll(response, largestManifest);
    const digest = expectedDigest(reference, response.headers.get('docker-content-digest'), content);
    const parsed = parseManifest(content, response.headers.get('content-type') ?? undefined);
    const tags = reference.kind === 'tag' ? [reference.tag] : [];
    await this.#contents.putManifest(name, digest, content, parsed, { tags, partial: true });
    return await this.#contents.manifest(name, { kind: 'digest', digest });
  }

  /** A page of a list, `none` where upstream has none, `undefined` where it does not answer. */
  async #list(
    name: RepositoryName,
    path: string,
  ): Promise<{ value: unknown; next: string | undefined } | 'none' | undefined> {
    try {
      const response = await this.#client.send(name, path, { signal: this.#closing.signal });
      if (response.status !== 200) {
        await response.body?.cancel();
        return 'none';
      }
      const query = /<[^>?]*\?([^>]*)>;\s*rel="?next/.exec(response.headers.get('link') ?? '')?.[1];
      const value: unknown = JSON.parse((await readAll(response, largestList)).toString('utf8'));
      return { value: value ?? {}, next: query === undefined ? undefined : `${path.replace(/\?.*/, '')}?${query}` };
    } catch (error) {
      this.#log.warn('upstream does not answer; what is kept is served', { repository: name, error: messageOf(error) });
      return undefined;
    }
  }

  async #use(name: RepositoryName, { digest }: StoredManifest): Promise<void> {
    const now = this.#contents.now();
    const usedAt = (await this.#contents.repositories.manifestUsedAt(name, digest)) ?? now;
    if (usedAt < now - usePrecision) await this.#contents.repositories.useManifest(name, digest, now);
  }
}

/** Descriptors of an index that somebody else wrote. */
function manifestsOf(index: unknown): readonly Descriptor[] {
  const { manifests } = (index ?? {}) as { manifests?: unknown };
  if (!Array.isArray(manifests)) return [];
  return (manifests as readonly (Descriptor | null)[]).filter(
    (one): one is Descriptor => typeof one?.digest === 'string' && isDigest(one.digest),
  );
}

/** Throws UNAVAILABLE for content that is not what was asked for, or not what upstream says that it is. */
function expectedDigest(reference: ManifestReference, said: string | null, content: Buffer): Digest {
  const expected =
    reference.kind === 'digest' ? reference.digest : said !== null && isDigest(said) ? said : digestOf(content);
  if (hashFor(expected).update(content).digest('hex') !== hexOf(expected))
    throw refusal('UNAVAILABLE', `the upstream registry sent something else for ${expected}`);
  return expected;
}
