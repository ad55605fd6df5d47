import { createReadStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Clock, type Logger, systemClock, WherryError } from '@wherry/base';
import {
  type Digest,
  formatReference,
  hexOf,
  hostPlatform,
  type ImageConfig,
  isDigest,
  type Platform,
  parseReference,
  repositoryOf,
  tryParseReference,
} from '@wherry/oci';
import type { ImageService, ImageStatus, PullOptions } from '@wherry/runtime';
import { ArchiveFiles } from './archive/archive-files.ts';
import { readArchive } from './archive/read-archive.ts';
import { ContentStore } from './content/content-store.ts';
import { largestDocument, parseConfig } from './content/json.ts';
import { Pins } from './content/pins.ts';
import { buildImage, type NewImage } from './create-image.ts';
import { Holds } from './holds.ts';
import { ImageRegistrar } from './image-registrar.ts';
import { LayerStore } from './layers/layer-store.ts';
import { type ImageRecord, Metadata } from './metadata.ts';
import { pull } from './registry/pull.ts';
import type { Rootfs, RootfsSource } from './rootfs.ts';

export interface ImageStoreOptions {
  /** Made when it is missing. One process at a time. */
  readonly directory: string;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  /** What to choose from multi-platform images (default: this machine's). */
  readonly platform?: Platform | undefined;
  /** Of one unpacked layer (default: 64 GiB, two million files). */
  readonly largestLayer?: { readonly bytes: number; readonly entries: number } | undefined;
}

export interface LoadedImage {
  readonly id: string;
  /** Full references. */
  readonly names: readonly string[];
}

export interface CreateImageOptions extends Omit<NewImage, 'platform'> {
  readonly platform?: Platform | undefined;
  /** Names to give it, in any form of reference. */
  readonly references?: readonly string[] | undefined;
}

/** Images on this machine. All references are taken as `imageStatus` takes them. */
export interface ImageStore extends ImageService, RootfsSource, AsyncDisposable {
  /** Loads a `docker save` archive or an OCI layout from a stream, or a file or OCI layout folder by path. */
  load(source: string | AsyncIterable<Uint8Array>): Promise<readonly LoadedImage[]>;
  /** Makes an image of folders, entries or tar streams. The same input gives the same image. */
  createImage(image: CreateImageOptions): Promise<LoadedImage>;
  /** Makes an image of one layer from a tar of a root file system (`docker import`). */
  importImage(
    tar: AsyncIterable<Uint8Array>,
    options?: Pick<CreateImageOptions, 'config' | 'references'>,
  ): Promise<LoadedImage>;
  /** Gives an image another name. Throws `notFound`. */
  tag(reference: string, name: string): Promise<void>;
  /** An image's config and manifest. Throws `notFound`. */
  inspect(reference: string): Promise<{ readonly image: ImageRecord; readonly config: ImageConfig }>;
  /** Removes content that no image and no hold needs; runs by itself when one of them ends. */
  collectGarbage(): Promise<void>;
}

/** Opens or creates an image store. Reads nothing until it is needed. */
export async function openImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  const directory = resolve(options.directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const store = new LocalImageStore({ ...options, directory });
  await store.cleanUp();
  return store;
}

const largestLayer = { bytes: 64 * 2 ** 30, entries: 2_000_000 };

class LocalImageStore implements ImageStore {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #platform: Platform;
  readonly #content: ContentStore;
  readonly #layers: LayerStore;
  readonly #metadata: Metadata;
  readonly #holds: Holds;
  readonly #pins = new Pins();
  readonly #registrar: ImageRegistrar;
  readonly #configs = new Map<Digest, ImageConfig>();
  readonly #closing = new AbortController();

  constructor({ directory, log, clock = systemClock, platform = hostPlatform(), ...options }: ImageStoreOptions) {
    this.#directory = directory;
    this.#log = log;
    this.#clock = clock;
    this.#platform = platform;
    this.#content = new ContentStore(directory);
    this.#layers = new LayerStore(directory, options.largestLayer ?? largestLayer);
    this.#metadata = new Metadata(directory);
    this.#holds = new Holds(directory);
    this.#registrar = new ImageRegistrar(this.#content, this.#layers, this.#metadata, this.#pins, clock);
  }

  async cleanUp(): Promise<void> {
    await this.#content.cleanUp();
    await this.#layers.cleanUp();
  }

  async imageStatus(reference: string): Promise<ImageStatus | undefined> {
    const image = await this.#find(reference);
    return image && (await this.#status(image.id));
  }

  async listImages(): Promise<readonly ImageStatus[]> {
    const ids = new Set((await this.#metadata.images()).map((image) => image.id));
    return await Promise.all([...ids].map((id) => this.#status(id)));
  }

  async pullImage(reference: string, options: PullOptions = {}): Promise<string> {
    const image = await pull(parseReference(reference), {
      ...options,
      signal: options.signal ? AbortSignal.any([options.signal, this.#closing.signal]) : this.#closing.signal,
      platform: options.platform ?? this.#platform,
      registrar: this.#registrar,
      clock: this.#clock,
      log: this.#log,
    });
    this.#log.info('image pulled', { reference, id: image.id });
    return image.id;
  }

  async removeImage(reference: string): Promise<void> {
    const image = await this.#find(reference);
    if (image === undefined) return;
    const names = await this.#namesOf(image.id);
    const named = tryParseReference(reference);
    const name = named && formatReference(named);
    // By name only that name goes while others are left; by ID, as the kubelet's collection asks, all of it.
    if (name !== undefined && names.includes(name) && names.some((other) => other !== name && !other.includes('@'))) {
      await this.#metadata.remove([name], []);
      return;
    }
    const images = (await this.#metadata.images()).filter(({ id }) => id === image.id);
    await this.#metadata.remove(
      names,
      images.map(({ manifest }) => manifest),
    );
    this.#configs.delete(image.id);
    await this.collectGarbage();
  }

  async imageFsInfo(): ReturnType<ImageService['imageFsInfo']> {
    const { bytes, inodes } = await this.#layers.usage();
    const blobs = new Map<Digest, number>();
    for (const image of await this.#metadata.images()) {
      for (const layer of image.layers) blobs.set(layer.digest, layer.size);
    }
    const stored = [...blobs.values()].reduce((sum, size) => sum + size, 0);
    return { mountpoint: this.#directory, usedBytes: bytes + stored, inodesUsed: inodes + blobs.size };
  }

  async rootfs(reference: string, owner: string): Promise<Rootfs> {
    const image = await this.#require(reference);
    const chain = image.layers.map((layer) => layer.chainId);
    using _ = await this.#pins.pin([image.manifest, image.id, ...image.layers.map(({ digest }) => digest), ...chain]);
    // What was found may have been removed while the pin waited for a collection.
    if ((await this.#metadata.image(image.manifest)) === undefined) throw notFound(reference);
    const config = await this.#config(image);
    for (const layer of image.layers) {
      if (!(await this.#layers.has(layer.chainId))) await this.#registrar.unpack(image.layers, layer);
    }
    const layers = image.layers.map(({ digest, chainId }) => ({ digest, chainId }));
    await this.#holds.set(owner, { manifest: image.manifest, config: image.id, layers });
    const folders = chain.map((chainId) => this.#layers.folder(chainId)).reverse();
    const lowerDirectories = folders.length > 0 ? folders : [await this.#layers.emptyFolder()];
    return { imageId: image.id, config, lowerDirectories };
  }

  async release(owner: string): Promise<void> {
    const hold = await this.#holds.release(owner);
    if (hold === undefined) return;
    if ((await this.#metadata.image(hold.manifest)) === undefined) await this.collectGarbage();
  }

  async load(source: string | AsyncIterable<Uint8Array>): Promise<readonly LoadedImage[]> {
    await using files = await this.#archive(source);
    const loaded: LoadedImage[] = [];
    for (const image of await readArchive(files, this.#platform)) {
      const { id } = await this.#registrar.registerWritten(image.manifest, image.blobs, image.names);
      loaded.push({ id, names: image.names });
    }
    return loaded;
  }

  async createImage({ references = [], platform, ...image }: CreateImageOptions): Promise<LoadedImage> {
    const names = references.map((reference) => nameOf(reference));
    const built = await buildImage(this.#content, { ...image, platform: platform ?? this.#platform });
    try {
      const { id } = await this.#registrar.registerWritten(built.manifest, built.blobs, names);
      return { id, names };
    } finally {
      for (const ingest of built.blobs.values()) await ingest[Symbol.asyncDispose]();
    }
  }

  async importImage(
    tar: AsyncIterable<Uint8Array>,
    { config = {}, references }: Partial<Pick<CreateImageOptions, 'config' | 'references'>> = {},
  ): Promise<LoadedImage> {
    return await this.createImage({ config, layers: [{ tar }], references });
  }

  async tag(reference: string, name: string): Promise<void> {
    const image = await this.#require(reference);
    await this.#metadata.add(image, [[nameOf(name), image.manifest]]);
  }

  async inspect(reference: string): Promise<{ image: ImageRecord; config: ImageConfig }> {
    const image = await this.#require(reference);
    return { image, config: await this.#config(image) };
  }

  async collectGarbage(): Promise<void> {
    await this.#pins.collect(async (isPinned) => {
      const used = new Set<Digest>();
      for (const image of await this.#metadata.images()) {
        used.add(image.manifest).add(image.id);
        for (const { digest, chainId } of image.layers) used.add(digest).add(chainId);
      }
      for (const [, { target }] of await this.#metadata.names()) used.add(target);
      for (const hold of await this.#holds.list()) {
        used.add(hold.manifest).add(hold.config);
        for (const { digest, chainId } of hold.layers) used.add(digest).add(chainId);
      }
      const keep = (digest: Digest): boolean => used.has(digest) || isPinned(digest);
      for (const digest of await this.#content.list()) if (!keep(digest)) await this.#content.remove(digest);
      await this.#layers.removeOthers(keep);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
  }

  async #archive(source: string | AsyncIterable<Uint8Array>): Promise<ArchiveFiles> {
    if (typeof source !== 'string') return await ArchiveFiles.fromTar(this.#content, source);
    const isFolder = (await stat(source)).isDirectory();
    return isFolder
      ? await ArchiveFiles.fromFolder(this.#content, source)
      : await ArchiveFiles.fromTar(this.#content, createReadStream(source, { highWaterMark: 256 * 1024 }));
  }

  async #require(reference: string): Promise<ImageRecord> {
    const image = await this.#find(reference);
    if (image === undefined) throw notFound(reference);
    return image;
  }

  /** By name with tag or digest, by ID or by a unique prefix of one (of two digits or more). */
  async #find(reference: string): Promise<ImageRecord | undefined> {
    const hex = /^(?:sha256:)?([0-9a-f]{2,64})$/.exec(reference)?.[1];
    const isId = hex !== undefined && (reference.startsWith('sha256:') || hex.length === 64);
    const named = isId ? undefined : hex === undefined ? parseReference(reference) : tryParseReference(reference);
    if (named) {
      const key = named.digest === undefined ? named : { ...named, tag: undefined };
      const name = await this.#metadata.name(formatReference(key));
      if (name) return await this.#metadata.image(name.manifest);
      if (named.digest !== undefined) return await this.#byManifest(named.digest, repositoryOf(named));
    }
    return hex === undefined ? undefined : await this.#byPrefix(hex);
  }

  /** An image whose manifest is this one and that has a name in the repository. */
  async #byManifest(digest: Digest, repository: string): Promise<ImageRecord | undefined> {
    for (const [name, record] of await this.#metadata.names()) {
      const reference = tryParseReference(name);
      if (reference && repositoryOf(reference) === repository && [record.manifest, record.target].includes(digest)) {
        return await this.#metadata.image(record.manifest);
      }
    }
    return undefined;
  }

  async #byPrefix(prefix: string): Promise<ImageRecord | undefined> {
    const found = (await this.#metadata.images()).filter(({ id }) => hexOf(id).startsWith(prefix));
    if (new Set(found.map(({ id }) => id)).size > 1) {
      throw new WherryError('conflict', `the image ID ${prefix} is ambiguous`);
    }
    return found[0];
  }

  async #namesOf(id: Digest): Promise<string[]> {
    const manifests = new Set<Digest>();
    for (const image of await this.#metadata.images()) if (image.id === id) manifests.add(image.manifest);
    const names = await this.#metadata.names();
    return names.filter(([, { manifest }]) => manifests.has(manifest)).map(([name]) => name);
  }

  async #status(id: Digest): Promise<ImageStatus> {
    const names = await this.#namesOf(id);
    const image = (await this.#metadata.images()).find((candidate) => candidate.id === id)!;
    return {
      id,
      repoTags: names.filter((name) => !name.includes('@')).sort(),
      repoDigests: names.filter((name) => name.includes('@')).sort(),
      sizeBytes: image.sizeBytes,
      user: image.user,
    };
  }

  async #config(image: ImageRecord): Promise<ImageConfig> {
    let config = this.#configs.get(image.id);
    if (config === undefined) {
      config = parseConfig(await this.#content.read(image.id, largestDocument));
      this.#configs.set(image.id, config);
    }
    return config;
  }
}

function nameOf(reference: string): string {
  const parsed = parseReference(reference);
  if (parsed.digest !== undefined || isDigest(reference)) {
    throw new WherryError('invalid', `${reference}: a name to give cannot have a digest`);
  }
  return formatReference(parsed);
}

function notFound(reference: string): WherryError {
  return new WherryError('notFound', `No such image: ${reference}`);
}
