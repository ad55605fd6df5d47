import { messageOf } from '@wherry/base';
import { type Digest, type ImageConfig, type Platform, parseReference } from '@wherry/oci';
import type { ImageService, ImageStatus, PullOptions, RegistryAuth } from '@wherry/runtime';
import { saveArchive } from './archive/save-archive.ts';
import type { KeptContent } from './content/kept-content.ts';
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
  PullImageOptions,
  PushedTag,
  PushOptions,
  RemoteManifest,
  RemovedPart,
  RemoveImageOptions,
  SearchResult,
} from './image-library.ts';
import type { CreateImageOptions, ImageStore, ImportOptions } from './image-store.ts';
import { assembleImage } from './library/assemble-image.ts';
import { commitLayer } from './library/commit-layer.ts';
import { createImage, importImage } from './library/create-image.ts';
import { findImages } from './library/find-images.ts';
import { holdLayers, releaseHold } from './library/hold-layers.ts';
import { imageManifests } from './library/image-manifests.ts';
import { imageRootfs } from './library/image-rootfs.ts';
import { imageDetails, imageSummaries, layerSizes } from './library/image-summaries.ts';
import { type LoadedImage, type LoadOptions, loadArchive } from './library/load-archive.ts';
import { imageFsInfo, imageStatus, listImages, removeFromNode } from './library/node-images.ts';
import { recoverImages } from './library/recover-images.ts';
import { pruneImages, removeImage } from './library/remove-image.ts';
import { tagImage } from './library/tag-image.ts';
import type { ImageRecord, LayerRecord } from './metadata.ts';
import { login } from './registry/login.ts';
import { pull } from './registry/pull/pull.ts';
import { push } from './registry/push/push.ts';
import { remoteManifest } from './registry/remote-manifest.ts';
import { remoteTags } from './registry/remote-tags.ts';
import { search } from './registry/search.ts';
import type { Dialect } from './registry/transport/registry-failure.ts';
import type { Rootfs } from './rootfs.ts';
import { RunningMark } from './running-mark.ts';
import type { StoreParts } from './store-parts.ts';

/** Images in a folder of this machine. */
export class LocalImageStore implements ImageStore {
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
    const unreadable = await metadata.cleanUp();
    const isUnclean = await this.#running.begin();
    if (unreadable !== undefined) await findImages(this.#parts, unreadable);
    const doubtful = await unsettled.left();
    if (doubtful) await recoverImages(this.#parts, doubtful);
    if (isUnclean || doubtful) {
      this.#sweeping = garbage.collect().catch((error: unknown) => {
        log.warn('what a crash left was not collected', { error: messageOf(error) });
      });
    }
  }

  async imageStatus(reference: string): Promise<ImageStatus | undefined> {
    return await imageStatus(this.#parts, reference);
  }

  async listImages(): Promise<readonly ImageStatus[]> {
    return await listImages(this.#parts);
  }

  async pullImage(reference: string, options: PullOptions = {}): Promise<string> {
    return (await this.#pull(reference, options, 'containerd')).id;
  }

  async pull(reference: string, options: PullImageOptions = {}): Promise<PulledImage> {
    return await this.#pull(reference, options, 'docker');
  }

  async removeImage(reference: string): Promise<void> {
    await removeFromNode(this.#parts, reference);
  }

  async imageFsInfo(): ReturnType<ImageService['imageFsInfo']> {
    return await imageFsInfo(this.#parts);
  }

  async rootfs(reference: string, owner: string): Promise<Rootfs> {
    return await imageRootfs(this.#parts, reference, owner);
  }

  async holdLayers(owner: string, layers: readonly LayerRecord[]): Promise<readonly string[]> {
    return await holdLayers(this.#parts, owner, layers);
  }

  async persistHold(owner: string): Promise<void> {
    const { holds, unsettled } = this.#parts;
    await unsettled.settled(await holds.manifestsOf(owner));
    await holds.sync(owner);
  }

  async release(owner: string): Promise<void> {
    await releaseHold(this.#parts, owner);
  }

  async load(source: string | AsyncIterable<Uint8Array>, options: LoadOptions = {}): Promise<readonly LoadedImage[]> {
    return await loadArchive(this.#parts, source, { ...options, signal: this.#signal(options.signal) });
  }

  async createImage(image: CreateImageOptions): Promise<LoadedImage> {
    return await createImage(this.#parts, image);
  }

  async importImage(tar: AsyncIterable<Uint8Array>, options: ImportOptions = {}): Promise<LoadedImage> {
    return await importImage(this.#parts, tar, { ...options, signal: this.#signal(options.signal) });
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

  async #pull(reference: string, options: PullImageOptions, dialect: Dialect): Promise<PulledImage> {
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
