import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, KeyedMutex, type Random, WherryError } from '@wherry/base';
import { type Descriptor, type Digest, hashFor, hexOf } from '@wherry/oci';
import { isTag, type ManifestReference, type RepositoryName } from '../names.ts';
import type { ParsedManifest } from '../protocol/manifest.ts';
import { refusal } from '../refusal.ts';
import type { BlobStore } from './blob-store.ts';
import { AtomicFiles, readText } from './files.ts';
import { FolderBlobs } from './folder-blobs.ts';
import { OpenedBlob } from './opened-blob.ts';
import { type ManifestRecord, RepositoryStore } from './repository-store.ts';
import { type Upload, Uploads } from './uploads.ts';
import { Usage } from './usage.ts';

/** What bounds a registry's storage; nothing is bounded that is not given. */
export interface Quotas {
  /** Bytes that one repository links. */
  readonly repository?: number | undefined;
  /** Bytes of all content and of uploads under way. */
  readonly total?: number | undefined;
  /** Of one blob. */
  readonly blob?: number | undefined;
}

export interface ContentsOptions {
  /** The registry's own folder; made when it is missing. One process at a time. */
  readonly directory: string;
  /** Where content goes (default: the folder's `blobs`). */
  readonly blobs?: BlobStore | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly quotas: Quotas;
  readonly mostUploads: number;
  readonly uploadLifetime: number;
}

/** How a manifest is taken. */
interface PutOptions {
  readonly tags?: readonly string[];
  /** Parts of it may be missing. */
  readonly partial?: boolean;
  /** Run under the repository's lock before anything changes: what it throws ends the change. */
  readonly before?: (() => Promise<void>) | undefined;
}

/** A manifest as it was pushed. */
export interface StoredManifest {
  readonly digest: Digest;
  readonly record: ManifestRecord;
  readonly content: Buffer;
}

const formatVersion = 1;

/**
 * Everything that the registry keeps. Lock order: a repository, then a digest. Content is linked under its
 * digest's lock, and collected under it, so that what is linked is there.
 */
export class Contents {
  readonly repositories: RepositoryStore;
  readonly blobs: BlobStore;
  readonly uploads: Uploads;
  readonly usage: Usage;
  readonly contentLocks = new KeyedMutex();
  /** What was linked or named since a collection began; collections set and clear it. */
  touched: Set<string> | undefined;
  readonly #repositoryLocks = new KeyedMutex();
  readonly #changes = new Set<Promise<unknown>>();
  readonly #options: ContentsOptions;
  readonly #files: AtomicFiles;

  private constructor(options: ContentsOptions) {
    const { directory, blobs, clock, random, mostUploads, uploadLifetime } = options;
    this.#options = options;
    this.#files = new AtomicFiles(join(directory, 'temporary'));
    this.repositories = new RepositoryStore(join(directory, 'repositories'), this.#files);
    this.blobs = blobs ?? new FolderBlobs(join(directory, 'blobs'));
    const folder = join(directory, 'uploads');
    this.uploads = new Uploads({
      folder,
      files: this.#files,
      clock,
      random,
      most: mostUploads,
      lifetime: uploadLifetime,
    });
    this.usage = new Usage(this.repositories, this.blobs);
  }

  /** Opens or creates the storage. Throws `unsupported` for a folder of a later version. */
  static async open(options: ContentsOptions): Promise<Contents> {
    const contents = new Contents(options);
    await contents.#files.cleanUp();
    await contents.#checkVersion();
    await contents.repositories.open();
    await contents.uploads.open();
    return contents;
  }

  now(): number {
    return this.#options.clock.now();
  }

  /** Changes a repository: one at a time. */
  async mutate<T>(name: RepositoryName, work: () => Promise<T>): Promise<T> {
    const change = this.#repositoryLocks.run(name, work);
    this.#changes.add(change);
    try {
      return await change;
    } finally {
      this.#changes.delete(change);
    }
  }

  /** Resolves when the changes that are under way have ended. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#changes]);
  }

  /** A blob that the repository has, opened; the caller closes it. */
  async openBlob(name: RepositoryName, digest: Digest): Promise<OpenedBlob | undefined> {
    const link = await this.repositories.blob(name, digest);
    if (link === undefined) return undefined;
    const handle = await this.blobs.open(digest);
    return handle && new OpenedBlob(handle, link.size);
  }

  /** Size of a blob that the repository has. Whoever asks may rely on it for as long as the collection's grace lasts. */
  async blobSize(name: RepositoryName, digest: Digest): Promise<number | undefined> {
    const link = await this.repositories.blob(name, digest);
    if (link === undefined || link.usedAt >= this.now() - 60_000) return link?.size;
    return await this.mutate(name, async () => {
      this.touched?.add(key(name, digest));
      await this.repositories.useBlob(name, digest, this.now());
      return (await this.repositories.blob(name, digest))?.size;
    });
  }

  /** Whether a blob of the upload's repository may have this size. Throws SIZE_INVALID, DENIED. */
  async quotaCheck(name: RepositoryName, isNewContent = true): Promise<(size: number) => void> {
    const { blob, repository, total: all } = this.#options.quotas;
    const total = isNewContent ? all : undefined;
    const used = repository === undefined ? 0 : await this.usage.repository(name);
    const usedInAll = total === undefined ? 0 : await this.usage.total();
    const others = total === undefined ? 0 : this.uploads.bytes;
    return (size) => {
      if (blob !== undefined && size > blob)
        throw refusal('SIZE_INVALID', `blobs of more than ${blob} bytes are not taken here`, { status: 413 });
      if (repository !== undefined && used + size > repository)
        throw refusal('DENIED', `the quota of repository ${name} is exceeded: ${used} of ${repository} bytes are used`);
      if (total !== undefined && usedInAll + Math.max(others, size) > total)
        throw refusal('DENIED', `the quota of this registry is exceeded: ${usedInAll} of ${total} bytes are used`);
    };
  }

  /** Makes a finished upload a blob of its repository. Within `upload.exclusively`. Gives its size. */
  async commit(upload: Upload, digest: Digest): Promise<number> {
    try {
      const size = await upload.verify(digest);
      await this.mutate(upload.repository, async () => {
        await this.#link(upload.repository, digest, size, upload.path);
      });
      return size;
    } finally {
      await this.uploads.drop(upload);
    }
  }

  /** Gives a repository a blob of another one. `false` when that one does not have it. */
  async mount(from: RepositoryName, to: RepositoryName, digest: Digest): Promise<boolean> {
    const link = await this.repositories.blob(from, digest);
    if (link === undefined) return false;
    return await this.mutate(to, () => this.#link(to, digest, link.size, undefined));
  }

  /** The first repository of those given that has the blob. */
  async whoHas(digest: Digest, among: Iterable<RepositoryName>): Promise<RepositoryName | undefined> {
    if ((await this.blobs.size(digest)) === undefined) return undefined;
    for (const name of among) if (await this.repositories.blob(name, digest)) return name;
    return undefined;
  }

  async deleteBlob(name: RepositoryName, digest: Digest): Promise<boolean> {
    return await this.mutate(name, async () => {
      const link = await this.repositories.blob(name, digest);
      if (link === undefined) return false;
      const removed = await this.repositories.unlinkBlob(name, digest);
      if (removed) await this.usage.changeRepository(name, -link.size);
      return removed;
    });
  }

  async resolve(name: RepositoryName, reference: ManifestReference): Promise<Digest | undefined> {
    if (reference.kind === 'digest') return reference.digest;
    return (await this.repositories.tag(name, reference.tag))?.digest;
  }

  async manifest(name: RepositoryName, reference: ManifestReference): Promise<StoredManifest | undefined> {
    const digest = await this.resolve(name, reference);
    const record = digest && (await this.repositories.manifest(name, digest));
    if (digest === undefined || record === undefined) return undefined;
    const handle = await this.blobs.open(digest);
    if (handle === undefined) return undefined;
    try {
      const content = await readFile(handle);
      if (hashFor(digest).update(content).digest('hex') !== hexOf(digest))
        throw new WherryError('corrupt', `manifest ${digest} of ${name} does not match its digest`);
      return { digest, record, content };
    } finally {
      await handle.close();
    }
  }

  /**
   * Takes a manifest, whole or not at all: content, record, then tags. Throws MANIFEST_BLOB_UNKNOWN for what it
   * names and the repository does not have, unless `partial`.
   */
  async putManifest(
    name: RepositoryName,
    digest: Digest,
    content: Buffer,
    parsed: ParsedManifest,
    { tags = [], partial = false, before }: PutOptions = {},
  ): Promise<void> {
    const check = await this.quotaCheck(name);
    await this.mutate(name, async () => {
      await before?.();
      for (const blob of [digest, ...parsed.blobs, ...parsed.manifests]) this.touched?.add(key(name, blob));
      if (!partial) await this.#requireParts(name, parsed);
      const isNew = (await this.repositories.manifest(name, digest)) === undefined;
      if (isNew) check(content.length);
      await this.contentLocks.run(digest, async () => {
        this.touched?.add(digest);
        await this.#keep(digest, content);
        const { blobs, manifests, mediaType, subject, artifactType } = parsed;
        const record: ManifestRecord = {
          version: 1,
          mediaType,
          size: content.length,
          pushedAt: this.now(),
          blobs,
          manifests,
          ...(subject !== undefined && { subject }),
          ...(artifactType !== undefined && { artifactType }),
        };
        const referrer = referrerOf(digest, content.length, parsed);
        await this.repositories.putManifest(name, digest, record, referrer);
      });
      for (const tag of tags) await this.repositories.putTag(name, tag, { digest, taggedAt: this.now() });
      if (isNew) await this.usage.changeRepository(name, content.length);
    });
  }

  /** Removes a manifest and the tags that point at it: those first, for a tag never to point at nothing. Within `mutate`. */
  async removeManifest(name: RepositoryName, digest: Digest): Promise<boolean> {
    const record = await this.repositories.manifest(name, digest);
    if (record === undefined) return false;
    for (const tag of await this.repositories.tags(name))
      if ((await this.repositories.tag(name, tag))?.digest === digest) await this.repositories.removeTag(name, tag);
    await this.repositories.removeManifest(name, digest);
    await this.usage.changeRepository(name, -record.size);
    return true;
  }

  async #requireParts(name: RepositoryName, parsed: ParsedManifest): Promise<void> {
    const missing: Digest[] = [];
    for (const blob of parsed.blobs) if (!(await this.repositories.blob(name, blob))) missing.push(blob);
    for (const child of parsed.manifests) if (!(await this.repositories.manifest(name, child))) missing.push(child);
    if (missing.length > 0)
      throw refusal('MANIFEST_BLOB_UNKNOWN', 'manifest references a manifest or blob unknown to registry', {
        detail: missing.slice(0, 20).map((digest) => ({ Digest: digest })),
      });
  }

  /** Links content, of this file or there already. `false` when it is not there. Within the repository's lock. */
  async #link(name: RepositoryName, digest: Digest, size: number, file: string | undefined): Promise<boolean> {
    const linked = await this.repositories.blob(name, digest);
    if (!linked) (await this.quotaCheck(name, file !== undefined))(size);
    return await this.contentLocks.run(digest, async () => {
      this.touched?.add(digest).add(key(name, digest));
      const here = (await this.blobs.size(digest)) !== undefined;
      if (!here && file === undefined) return false;
      if (file !== undefined) await this.blobs.adopt(file, digest);
      await this.repositories.linkBlob(name, digest, size, this.now());
      if (!here) await this.usage.changeTotal(size);
      if (!linked) await this.usage.changeRepository(name, size);
      return true;
    });
  }

  async #keep(digest: Digest, content: Buffer): Promise<void> {
    if ((await this.blobs.size(digest)) === content.length) return;
    const path = join(this.#options.directory, 'temporary', this.#options.random.hex(24));
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.datasync();
    } finally {
      await file.close();
    }
    await this.blobs.adopt(path, digest);
    await this.usage.changeTotal(content.length);
  }

  async #checkVersion(): Promise<void> {
    const path = join(this.#options.directory, 'registry.json');
    const text = await readText(path);
    const version = text === undefined ? undefined : (JSON.parse(text) as { version: number }).version;
    if (version === undefined) await this.#files.write(path, `${JSON.stringify({ version: formatVersion })}\n`);
    else if (version > formatVersion)
      throw new WherryError(
        'unsupported',
        `${path}: this version of Wherry reads version ${formatVersion}, not ${version}`,
      );
  }
}

/** A blob or manifest of one repository, for `touched`. */
export function key(name: RepositoryName, digest: Digest): string {
  return `${name}@${digest}`;
}

/** Only for what `isTag` accepts. */
export function assertTag(tag: string): void {
  if (!isTag(tag)) throw refusal('TAG_INVALID', 'manifest tag did not match URI', { detail: tag.slice(0, 200) });
}

/** How the manifest stands among the referrers of its subject (distribution-spec, "Listing Referrers"). */
function referrerOf(digest: Digest, size: number, parsed: ParsedManifest): Descriptor | undefined {
  const { mediaType, subject, artifactType, annotations } = parsed;
  if (subject === undefined) return undefined;
  return {
    mediaType,
    digest,
    size,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations && { annotations }),
  };
}
