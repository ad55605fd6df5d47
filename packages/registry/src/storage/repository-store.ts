import { rm, rmdir, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { algorithmOf, type Descriptor, type Digest, hexOf, isDigest } from '@wherry/oci';
import { isRepositoryName, isTag, type RepositoryName } from '../names.ts';
import { type AtomicFiles, isMissing, namesIn, readText, removeFile } from './files.ts';
import { RepositoryNames } from './repository-names.ts';

/** What a repository knows of a manifest; the manifest itself is content. */
export interface ManifestRecord {
  readonly version: 1;
  readonly mediaType: string;
  readonly size: number;
  readonly pushedAt: number;
  /** Config and layers. */
  readonly blobs: readonly Digest[];
  /** Those that an index names. */
  readonly manifests: readonly Digest[];
  readonly subject?: Digest;
  readonly artifactType?: string;
}

/** What a tag points at. */
export interface TagRecord {
  readonly digest: Digest;
  readonly taggedAt: number;
}

/** A blob as a repository has it. */
export interface BlobLink {
  readonly size: number;
  /** When somebody last relied on it, ms. */
  readonly usedAt: number;
}

/**
 * What stands in which repository, as small files in `repositories/<name>/`: `_blobs/<digest>`,
 * `_manifests/<digest>`, `_referrers/<subject>/<digest>`, `_tags/<tag>`, where a digest is written
 * `<algorithm>-<hex>`. No part of a name begins with `_`. Callers serialise what changes one repository.
 */
export class RepositoryStore {
  readonly #folder: string;
  readonly #files: AtomicFiles;
  readonly #names: RepositoryNames;

  constructor(folder: string, files: AtomicFiles) {
    this.#folder = folder;
    this.#files = files;
    this.#names = new RepositoryNames(folder);
  }

  async open(): Promise<void> {
    await this.#names.load();
  }

  /** All names, in order of their characters. */
  names(): readonly RepositoryName[] {
    return this.#names.sorted();
  }

  exists(name: string): boolean {
    return this.#names.has(name);
  }

  async blob(name: RepositoryName, digest: Digest): Promise<BlobLink | undefined> {
    const path = this.#path(name, '_blobs', fileOf(digest));
    const text = await readText(path);
    if (text === undefined) return undefined;
    const { size } = JSON.parse(text) as { size: number };
    return { size, usedAt: (await modifiedAt(path)) ?? 0 };
  }

  async linkBlob(name: RepositoryName, digest: Digest, size: number, at: number): Promise<void> {
    await this.#files.write(this.#path(name, '_blobs', fileOf(digest)), `${JSON.stringify({ version: 1, size })}\n`);
    await this.useBlob(name, digest, at);
    this.#names.add(name);
  }

  /** Says that somebody relies on the blob being here. */
  async useBlob(name: RepositoryName, digest: Digest, at: number): Promise<void> {
    await this.#use(this.#path(name, '_blobs', fileOf(digest)), at);
  }

  async unlinkBlob(name: RepositoryName, digest: Digest): Promise<boolean> {
    return await removeFile(this.#path(name, '_blobs', fileOf(digest)));
  }

  blobs(name: RepositoryName): AsyncGenerator<Digest> {
    return digestsIn(this.#path(name, '_blobs'));
  }

  async manifest(name: RepositoryName, digest: Digest): Promise<ManifestRecord | undefined> {
    const text = await readText(this.#path(name, '_manifests', fileOf(digest)));
    return text === undefined ? undefined : (JSON.parse(text) as ManifestRecord);
  }

  async putManifest(
    name: RepositoryName,
    digest: Digest,
    record: ManifestRecord,
    referrer: Descriptor | undefined,
  ): Promise<void> {
    await this.#files.write(this.#path(name, '_manifests', fileOf(digest)), `${JSON.stringify(record)}\n`);
    if (record.subject !== undefined && referrer !== undefined)
      await this.#files.write(
        this.#path(name, '_referrers', fileOf(record.subject), fileOf(digest)),
        `${JSON.stringify(referrer)}\n`,
      );
    await this.useManifest(name, digest, record.pushedAt);
    this.#names.add(name);
  }

  /** Removes a manifest that no tag points at any more. */
  async removeManifest(name: RepositoryName, digest: Digest): Promise<void> {
    const subject = (await this.manifest(name, digest))?.subject;
    if (subject !== undefined) {
      const folder = this.#path(name, '_referrers', fileOf(subject));
      await removeFile(join(folder, fileOf(digest)));
      await removeFolderIfEmpty(folder);
    }
    await removeFile(this.#path(name, '_manifests', fileOf(digest)));
  }

  /** When the manifest was pushed or, in a cache, last asked for, ms. */
  async manifestUsedAt(name: RepositoryName, digest: Digest): Promise<number | undefined> {
    return await modifiedAt(this.#path(name, '_manifests', fileOf(digest)));
  }

  async useManifest(name: RepositoryName, digest: Digest, at: number): Promise<void> {
    await this.#use(this.#path(name, '_manifests', fileOf(digest)), at);
  }

  manifests(name: RepositoryName): AsyncGenerator<Digest> {
    return digestsIn(this.#path(name, '_manifests'));
  }

  /** Descriptors of the manifests whose subject this is, in order of their digests. */
  async referrers(name: RepositoryName, subject: Digest): Promise<readonly Descriptor[]> {
    const folder = this.#path(name, '_referrers', fileOf(subject));
    const digests: Digest[] = [];
    for await (const digest of digestsIn(folder)) digests.push(digest);
    const found: Descriptor[] = [];
    for (const digest of digests.sort()) {
      const text = await readText(join(folder, fileOf(digest)));
      if (text !== undefined) found.push(JSON.parse(text) as Descriptor);
    }
    return found;
  }

  async tag(name: RepositoryName, tag: string): Promise<TagRecord | undefined> {
    const text = await readText(this.#path(name, '_tags', tag));
    return text === undefined ? undefined : (JSON.parse(text) as TagRecord);
  }

  async putTag(name: RepositoryName, tag: string, record: TagRecord): Promise<void> {
    await this.#files.write(this.#path(name, '_tags', tag), `${JSON.stringify({ version: 1, ...record })}\n`);
  }

  async removeTag(name: RepositoryName, tag: string): Promise<boolean> {
    return await removeFile(this.#path(name, '_tags', tag));
  }

  /** In order of their characters. */
  async tags(name: RepositoryName): Promise<readonly string[]> {
    const found: string[] = [];
    for await (const tag of namesIn(this.#path(name, '_tags'))) if (isTag(tag)) found.push(tag);
    return found.sort();
  }

  /** Removes a repository in which nothing is left; those beneath it stay. */
  async removeIfEmpty(name: RepositoryName): Promise<boolean> {
    for (const kind of ['_blobs', '_manifests', '_tags'])
      for await (const _ of namesIn(this.#path(name, kind))) return false;
    for (const kind of ['_blobs', '_manifests', '_tags', '_referrers'])
      await rm(this.#path(name, kind), { recursive: true, force: true });
    this.#names.remove(name);
    for (let part: string = name; part !== ''; part = part.slice(0, Math.max(part.lastIndexOf('/'), 0)))
      if (!(await removeFolderIfEmpty(join(this.#folder, part)))) break;
    return true;
  }

  async #use(path: string, at: number): Promise<void> {
    await utimes(path, at / 1000, at / 1000).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
  }

  #path(name: RepositoryName, ...rest: readonly string[]): string {
    if (!isRepositoryName(name)) throw new Error(`not a repository name: ${String(name)}`);
    return join(this.#folder, name, ...rest);
  }
}

function fileOf(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest)}`;
}

async function* digestsIn(folder: string): AsyncGenerator<Digest> {
  for await (const file of namesIn(folder)) {
    const digest = file.replace('-', ':');
    if (isDigest(digest)) yield digest;
  }
}

async function modifiedAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function removeFolderIfEmpty(folder: string): Promise<boolean> {
  for await (const _ of namesIn(folder)) return false;
  return await rmdir(folder).then(
    () => true,
    () => false,
  );
}
