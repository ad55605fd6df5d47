import { mkdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Clock, KeyedMutex, type Logger, messageOf, systemClock } from '@wherry/base';
import { type Digest, hostPlatform, type ImageConfig, type Platform, parseReference } from '@wherry/oci';
import type { ImageService, ImageStatus, PullOptions, RegistryAuth } from '@wherry/runtime';
import { saveArchive } from './archive/save-archive.ts';
import { ContentStore } from './content/content-store.ts';
import type { KeptContent } from './content/kept-content.ts';
import { Pins } from './content/pins.ts';
import { buildImage, type NewImage } from './create-image.ts';
import { DiskSync } from './disk-sync.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { Holds } from './holds.ts';
import { ImageEvents } from './image-events.ts';
import { ImageFinder } from './image-finder.ts';
import type {
  AssembleImage,
  CommitLayer,
  CommittedLayer,
  ImageDetails,
  ImageEvent,
  ImageLibrary,
  ImageManifests,
  ImageSummary,
  PruneImagesOptions,
  PulledImage,
  PushedTag,
  PushOptions,
  RemoteManifest,
  RemovedPart,
  RemoveImageOptions,
  SearchResult,
} from './image-library.ts';
import { hasDigest, nameOf } from './image-names.ts';
import { ImageRegistrar } from './image-registrar.ts';
import { LayerStore } from './layers/layer-store.ts';
import { largestTarOf } from './layers/unpack.ts';
import { assembleImage } from './library/assemble-image.ts';
import { commitLayer } from './library/commit-layer.ts';
import { holdLayers } from './library/hold-layers.ts';
import { imageManifests } from './library/image-manifests.ts';
import { imageRootfs } from './library/image-rootfs.ts';
import { imageDetails, imageSummaries, layerSizes } from './library/image-summaries.ts';
import { type LoadedImage, type LoadOptions, loadArchive } from './library/load-archive.ts';
import { recoverImages } from './library/recover-images.ts';
import { pruneImages, removeImage } from './library/remove-image.ts';
import { emitTags, tagImage } from './library/tag-image.ts';
import { type ImageRecord, type LayerRecord, Metadata, type MetadataState } from './metadata.ts';
import type { RegistrySettings } from './registry/endpoint.ts';
import { login } from './registry/login.ts';
import { pull } from './registry/pull.ts';
import { push } from './registry/push.ts';
import type { Dialect } from './registry/registry-failure.ts';
import { remoteManifest } from './registry/remote-manifest.ts';
import { remoteTags } from './registry/remote-tags.ts';
import { search } from './registry/search.ts';
import type { Rootfs, RootfsSource } from './rootfs.ts';
import { RunningMark } from './running-mark.ts';
import type { StoreParts } from './store-parts.ts';
import { createLayerThreads } from './threads/layer-threads.ts';
import { UnsettledImages } from './unsettled-images.ts';

export interface ImageStoreOptions {
  /** Made when it is missing. One process at a time. */
  readonly directory: string;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  /** What is another one after each start of the machine (default: the kernel's `boot_id`). */
  readonly boot?: string | undefined;
  /** What to choose from multi-platform images (default: this machine's). */
  readonly platform?: Platform | undefined;
  /** Of one unpacked layer (default: 64 GiB, two million files). */
  readonly registries?: RegistrySettings | undefined;
  readonly largestLayer?: { readonly bytes: number; readonly entries: number } | undefined;
}

export interface CreateImageOptions extends Omit<NewImage, 'platform'> {
  readonly platform?: Platform | undefined;
  /** Names to give it, in any form of reference. */
  readonly references?: readonly string[] | undefined;
  /** Whether a person here gives the names, which docker remembers the time of. */
  readonly isTagged?: boolean | undefined;
}

export interface ImportOptions extends Partial<Pick<CreateImageOptions, 'config' | 'references' | 'platform'>> {
  /** The comment of the image's only history entry. */
  readonly message?: string | undefined;
}

/** Images on this machine. All references are taken as `imageStatus` takes them. */
export interface ImageStore extends ImageService, RootfsSource, ImageLibrary, AsyncDisposable {
  /**
   * Loads a `docker save` archive or an OCI layout from a stream, or a file or OCI layout folder by path. Of an index, all
   * images stay behind its name.
   */
  load(source: string | AsyncIterable<Uint8Array>, options?: LoadOptions): Promise<readonly LoadedImage[]>;
  /** Makes an image of folders, entries or tar streams. The same input gives the same image. */
  createImage(image: CreateImageOptions): Promise<LoadedImage>;
  /** Makes an image of one layer from a tar of a root file system (`docker import`). */
  importImage(tar: AsyncIterable<Uint8Array>, options?: ImportOptions): Promise<LoadedImage>;
  /** An image's config and manifest. Throws `notFound`. */
  inspect(reference: string): Promise<{ readonly image: ImageRecord; readonly config: ImageConfig }>;
  /** Content that another part of the process, `owner`, keeps beside the images: each of it once on disk. */
  keptContent(owner: string): KeptContent;
  /** Removes content that no image and no hold needs; runs by itself when one of them ends. */
  collectGarbage(): Promise<void>;
}

/** Opens or creates an image store. Reads nothing until it is needed. */
export async function openImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  const directory = resolve(options.directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const boot = options.boot ?? (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const store = new LocalImageStore(makeParts({ ...options, directory, boot }));
  await store.cleanUp();
  return store;
}

const largestLayer = { bytes: 64 * 2 ** 30, entries: 2_000_000 };

function makeParts({
  directory,
  log,
  clock = systemClock,
  platform = hostPlatform(),
  boot,
  ...options
}: ImageStoreOptions & { readonly boot: string }): StoreParts {
  const limits = options.largestLayer ?? largestLayer;
  const threads = createLayerThreads();
  const disk = new DiskSync(directory);
  const content = new ContentStore(directory, disk, threads);
  const layers = new LayerStore(directory, limits, threads, disk);
  const metadata = new Metadata(directory);
  const holds = new Holds(directory);
  const pins = new Pins();
  return {
    directory,
    log,
    clock,
    platform,
    limits,
    threads,
    content,
    layers,
    metadata,
    holds,
    pins,
    registrar: new ImageRegistrar(content, layers, metadata, pins, clock, disk),
    garbage: new GarbageCollector({ content, layers, metadata, holds, pins, log }),
    events: new ImageEvents(log),
    finder: new ImageFinder(metadata, content),
    disk,
    unsettled: new UnsettledImages(directory, boot, disk, log),
    registries: options.registries ?? {},
    downloads: new KeyedMutex(),
  };
}

class LocalImageStore implements ImageStore {
  readonly #parts: StoreParts;
  readonly #closing = new AbortController();
  readonly #running: RunningMark;
  #sweeping: Promise<void> | undefined;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.#running = new RunningMark(parts.directory);
  }

  /** After a crash, what it left is collected beside other work: until then there is more than needed, never less. */
  async cleanUp(): Promise<void> {
    const { content, layers, holds, metadata, garbage, unsettled, log } = this.#parts;
    await content.cleanUp();
    await layers.cleanUp();
    await holds.cleanUp();
    await metadata.cleanUp();
    const isUnclean = await this.#running.begin();
    const doubtful = await unsettled.left();
    if (doubtful) await recoverImages(this.#parts, doubtful);
    if (isUnclean || doubtful) {
      this.#sweeping = garbage.collect().catch((error: unknown) => {
        log.warn('what a crash left was not collected', { error: messageOf(error) });
      });
    }
  }

  async imageStatus(reference: string): Promise<ImageStatus | undefined> {
    const image = await this.find(reference);
    return image && statusOf(await this.#parts.metadata.state(), image);
  }

  async listImages(): Promise<readonly ImageStatus[]> {
    const state = await this.#parts.metadata.state();
    return [...state.manifests.keys()].map((id) => statusOf(state, state.byId(id)!));
  }

  async pullImage(reference: string, options: PullOptions = {}): Promise<string> {
    return (await this.#pull(reference, options, 'containerd')).id;
  }

  async pull(reference: string, options: PullOptions = {}): Promise<PulledImage> {
    return await this.#pull(reference, options, 'docker');
  }

  async removeImage(reference: string): Promise<void> {
    const { finder, metadata, garbage, events } = this.#parts;
    const found = await finder.find(reference);
    if (found === undefined) return;
    const { image, name } = found;
    const state = await metadata.state();
    const names = state.namesById(image.id);
    // By name only that name goes while others are left; by ID, as the kubelet's collection asks, all of it.
    if (name !== undefined && names.some((other) => other !== name && !hasDigest(other))) {
      await metadata.remove([name], []);
      events.emit({ action: 'untag', id: image.id, name: image.id });
      return;
    }
    await metadata.remove(names, [...(state.manifests.get(image.id) ?? [])]);
    finder.forget(image.id);
    events.emit({ action: 'delete', id: image.id, name: image.id });
    await garbage.collect();
  }

  async imageFsInfo(): ReturnType<ImageService['imageFsInfo']> {
    const { layers, metadata, directory } = this.#parts;
    const { bytes, inodes } = await layers.usage();
    const blobs = new Map<Digest, number>();
    for (const image of await metadata.images()) {
      for (const layer of image.layers) blobs.set(layer.digest, layer.size);
    }
    const stored = [...blobs.values()].reduce((sum, size) => sum + size, 0);
    return { mountpoint: directory, usedBytes: bytes + stored, inodesUsed: inodes + blobs.size };
  }

  async rootfs(reference: string, owner: string): Promise<Rootfs> {
    return await imageRootfs(this.#parts, reference, owner);
  }

  async holdLayers(owner: string, layers: readonly LayerRecord[]): Promise<readonly string[]> {
    return await holdLayers(this.#parts, owner, layers);
  }

  async persistHold(owner: string): Promise<void> {
    await this.#parts.unsettled.settled();
    await this.#parts.holds.sync(owner);
  }

  async release(owner: string): Promise<void> {
    const { holds, metadata, garbage } = this.#parts;
    const hold = await holds.release(owner);
    if (hold === undefined) return;
    if (hold.manifest !== undefined && (await metadata.image(hold.manifest)) !== undefined) return;
    await garbage.collectOf({
      blobs: [hold.manifest, hold.config, ...hold.layers.map(({ digest }) => digest)].filter(
        (digest) => digest !== undefined,
      ),
      layers: hold.layers.map(({ chainId }) => chainId),
    });
  }

  async load(source: string | AsyncIterable<Uint8Array>, options: LoadOptions = {}): Promise<readonly LoadedImage[]> {
    return await loadArchive(this.#parts, source, { ...options, signal: this.#signal(options.signal) });
  }

  async createImage({
    references = [],
    platform,
    isTagged = false,
    ...image
  }: CreateImageOptions): Promise<LoadedImage> {
    const names = references.map((reference) => nameOf(reference));
    const { content, registrar, limits } = this.#parts;
    const whole = { ...image, platform: platform ?? this.#parts.platform };
    const built = await buildImage(content, whole, largestTarOf(limits));
    try {
      const { id } = await registrar.registerWritten(built.manifest, built.blobs, names, { isTagged });
      return { id, names };
    } finally {
      for (const ingest of built.blobs.values()) await ingest[Symbol.asyncDispose]();
    }
  }

  async importImage(tar: AsyncIterable<Uint8Array>, options: ImportOptions = {}): Promise<LoadedImage> {
    const created = new Date(this.#parts.clock.now()).toISOString();
    const { config = {}, references, platform, message } = options;
    const history = message === undefined ? {} : { history: [{ created, comment: message }] };
    const image = await this.createImage({
      config: { created, ...history, ...config },
      layers: [{ tar }],
      references,
      platform,
      isTagged: true,
    });
    const labels = config.config?.Labels ?? {};
    emitTags(this.#parts, { id: image.id, labels }, image.names);
    this.#parts.events.emit({ action: 'import', id: image.id, name: image.id, attributes: labels });
    return image;
  }

  async tag(reference: string, name: string): Promise<void> {
    await tagImage(this.#parts, reference, name);
  }

  async find(reference: string): Promise<ImageRecord | undefined> {
    return (await this.#parts.finder.find(reference))?.image;
  }

  async inspect(reference: string): Promise<{ image: ImageRecord; config: ImageConfig }> {
    const { image } = await this.#parts.finder.require(reference);
    return { image, config: await this.#parts.finder.config(image) };
  }

  async summaries(): Promise<readonly ImageSummary[]> {
    return await imageSummaries(this.#parts);
  }

  async details(reference: string, platform?: Platform): Promise<ImageDetails> {
    return await imageDetails(this.#parts, reference, platform);
  }

  async manifests(reference: string): Promise<ImageManifests> {
    return await imageManifests(this.#parts, reference);
  }

  async layerSizes(): Promise<ReadonlyMap<Digest, number>> {
    return await layerSizes(this.#parts);
  }

  async remove(reference: string, options: RemoveImageOptions): Promise<readonly RemovedPart[]> {
    return await removeImage(this.#parts, reference, options);
  }

  async prune(options: PruneImagesOptions): ReturnType<ImageLibrary['prune']> {
    return await pruneImages(this.#parts, options);
  }

  async commitLayer(request: CommitLayer): Promise<CommittedLayer | undefined> {
    return await commitLayer(this.#parts, { ...request, signal: this.#signal(request.signal) });
  }

  async assemble(image: AssembleImage): ReturnType<ImageLibrary['assemble']> {
    return await assembleImage(this.#parts, image);
  }

  save(references: readonly string[], options: { platform?: Platform | undefined } = {}): AsyncIterable<Uint8Array> {
    return saveArchive(this.#parts, references, options.platform);
  }

  async push(reference: string, options: PushOptions): Promise<readonly PushedTag[]> {
    return await push(this.#parts, reference, { ...options, signal: this.#signal(options.signal) });
  }

  async remoteTags(repository: string, options: PullOptions = {}): Promise<readonly string[]> {
    const signal = this.#signal(options.signal);
    return await remoteTags(this.#parts, parseReference(repository), { ...options, signal });
  }

  async remoteManifest(reference: string, options: PullOptions = {}): Promise<RemoteManifest> {
    const signal = this.#signal(options.signal);
    return await remoteManifest(this.#parts, parseReference(reference), { ...options, signal });
  }

  async search(term: string, options: Parameters<ImageLibrary['search']>[1] = {}): Promise<readonly SearchResult[]> {
    return await search(term, { ...options, registries: this.#parts.registries, signal: this.#closing.signal });
  }

  async login(server: string, auth: RegistryAuth): ReturnType<ImageLibrary['login']> {
    const { registries, clock } = this.#parts;
    return await login(server, auth, { registries, clock, signal: this.#closing.signal });
  }

  onEvent(listener: (event: ImageEvent) => void): Disposable {
    return this.#parts.events.on(listener);
  }

  keptContent(owner: string): KeptContent {
    return this.#parts.content.kept(owner);
  }

  async collectGarbage(): Promise<void> {
    await this.#parts.garbage.collect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#sweeping;
    await this.#parts.garbage.settled();
    // Where the disk fails the next one finds them named.
    await this.#parts.unsettled.settled().catch(() => undefined);
    await this.#parts.threads[Symbol.asyncDispose]();
    await this.#parts.metadata[Symbol.asyncDispose]();
    await this.#running.end();
  }

  async #pull(reference: string, options: PullOptions, dialect: Dialect): Promise<PulledImage> {
    const image = await pull(parseReference(reference), {
      ...options,
      signal: this.#signal(options.signal),
      platform: options.platform ?? this.#parts.platform,
      parts: this.#parts,
      dialect,
    });
    this.#parts.log.info('image pulled', { reference, id: image.id });
    return image;
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
  }
}

function statusOf(state: MetadataState, image: ImageRecord): ImageStatus {
  const names = state.namesById(image.id);
  return {
    id: image.id,
    repoTags: names.filter((name) => !hasDigest(name)).sort(),
    repoDigests: names.filter(hasDigest).sort(),
    sizeBytes: image.sizeBytes,
    user: image.user,
  };
}
