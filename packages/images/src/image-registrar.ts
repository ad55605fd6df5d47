import { type Clock, WherryError } from '@wherry/base';
import { type Digest, digestOf, type ImageConfig, type Manifest, mediaTypes, parseDigest } from '@wherry/oci';
import type { ContentStore } from './content/content-store.ts';
import { parseConfig } from './content/image-config.ts';
import { largestDocument, parseManifest } from './content/json.ts';
import type { Pins } from './content/pins.ts';
import type { WrittenBlob } from './content/written-blob.ts';
import type { DiskSync } from './disk-sync.ts';
import type { GarbageCollector } from './garbage-collector.ts';
import { chainIds, type LayerStore, type UnpackOptions } from './layers/layer-store.ts';
import type { ImageRecord, LayerRecord, Metadata } from './metadata.ts';

export interface RegisterOptions {
  /** Told of each layer that is unpacked, in their order; `isNew`: it was not before. */
  readonly onLayer?: ((layer: LayerRecord, isNew: boolean) => void) | undefined;
  readonly parent?: Digest | undefined;
  /** Whether the names are given by a person here, which docker remembers the time of. */
  readonly isTagged?: boolean | undefined;
  /** The index for which the names stand. */
  readonly index?: Buffer | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of the manifest, as they are kept: some plain whose compressed form it names. Pinned by the caller. */
  readonly layers?: readonly LayerRecord[] | undefined;
  /** Blobs that were hashed when they came, and may have been unpacked meanwhile. */
  readonly written?: ReadonlyMap<Digest, WrittenBlob> | undefined;
  /** Not waited for the disk: `UnsettledImages` knows of it. */
  readonly isDoubtful?: boolean | undefined;
}

export interface RegistrarParts {
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly metadata: Metadata;
  readonly pins: Pins;
  readonly clock: Clock;
  readonly disk: DiskSync;
  readonly garbage: GarbageCollector;
}

/** Makes images of content: whatever brings an image here ends in `register`. */
export class ImageRegistrar {
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly metadata: Metadata;
  readonly pins: Pins;
  readonly #clock: Clock;
  readonly #disk: DiskSync;
  readonly #garbage: GarbageCollector;

  constructor({ content, layers, metadata, pins, clock, disk, garbage }: RegistrarParts) {
    this.content = content;
    this.layers = layers;
    this.metadata = metadata;
    this.pins = pins;
    this.#clock = clock;
    this.#disk = disk;
    this.#garbage = garbage;
  }

  /** Commits written blobs and registers the image; nothing is left of one that fails. */
  async registerWritten(
    manifest: Buffer,
    blobs: ReadonlyMap<Digest, WrittenBlob>,
    names: readonly string[],
    options: RegisterOptions = {},
  ): Promise<ImageRecord> {
    const digest = digestOf(manifest);
    const { index = manifest, isDoubtful = false } = options;
    const sync = !isDoubtful;
    const target = digestOf(index);
    const written = [digest, target, ...blobs.keys()];
    using _ = await this.pins.pin(written);
    try {
      for (const [expected, blob] of blobs) await blob.commit(expected, { sync });
      await this.content.write(manifest, { sync });
      if (index !== manifest) await this.content.write(index, { sync });
      return await this.register(
        digest,
        names.map((name) => [name, target] as const),
        { ...options, written: blobs },
      );
    } catch (error) {
      // What is pinned goes with its last pin. Why the image failed is told, whatever becomes of this.
      const left = { blobs: written, layers: await this.#chainIds(manifest) };
      await this.#garbage.collectOf(left).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Unpacks the layers of a manifest whose blobs are here (and pinned by the caller) and enters the
   * image under names, each with what it names. Throws `corrupt` when the parts do not fit together.
   */
  async register(
    manifestDigest: Digest,
    names: readonly (readonly [string, Digest])[],
    options: RegisterOptions = {},
  ): Promise<ImageRecord> {
    const manifestBytes = await this.content.read(manifestDigest, largestDocument);
    const manifest = parseManifest(manifestBytes);
    const id = parseDigest(manifest.config.digest);
    const config = parseConfig(await this.content.read(id, largestDocument));
    const layers = options.layers ?? layerRecords(manifest, config);
    using _ = await this.pins.pin(layers.map((layer) => layer.chainId));
    await this.#unpackAll(layers, options);
    if (!options.isDoubtful) await this.#disk.run();
    const unpackedBytes: number[] = [];
    for (const { chainId } of layers) unpackedBytes.push((await this.layers.facts(chainId))?.bytes ?? 0);
    const record: ImageRecord = {
      manifest: manifestDigest,
      mediaType: manifest.mediaType ?? mediaTypes.ociManifest,
      id,
      layers,
      sizeBytes: manifestBytes.length + manifest.config.size + layers.reduce((sum, { size }) => sum + size, 0),
      user: config.config?.User ?? '',
      addedAt: this.#clock.now(),
      createdAt: timeOf(config.created),
      labels: config.config?.Labels ?? {},
      unpackedBytes,
      parent: options.parent,
    };
    await this.metadata.add(record, names, options.isTagged ? this.#clock.now() : undefined);
    return record;
  }

  /** Of the layers that may be unpacked: none where it cannot be told. */
  async #chainIds(manifest: Buffer): Promise<readonly Digest[]> {
    try {
      const id = parseDigest(parseManifest(manifest).config.digest);
      return chainIds(parseConfig(await this.content.read(id, largestDocument)).rootfs.diff_ids.map(parseDigest));
    } catch {
      return [];
    }
  }

  async #unpackAll(layers: readonly LayerRecord[], { onLayer, signal, written }: RegisterOptions): Promise<void> {
    const one = async (layer: LayerRecord, below: Promise<void> | undefined): Promise<void> => {
      const blob = written?.get(layer.digest);
      const isHashed = layer.digest === layer.diffId && blob !== undefined;
      const isNew = await this.unpack(layers, layer, { below, isHashed, early: blob?.early, signal });
      await below;
      onLayer?.(layer, isNew);
    };
    const unpacked: Promise<void>[] = [];
    for (const layer of layers) {
      const done = one(layer, unpacked.at(-1));
      done.catch(() => undefined);
      unpacked.push(done);
    }
    // All of them end before the caller lets go of what they read; the lowest of those that failed says why.
    const results = await Promise.allSettled(unpacked);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** Unpacks one layer of a stack whose lower layers are unpacked, or will be. False where it is. */
  async unpack(layers: readonly LayerRecord[], layer: LayerRecord, options: UnpackOptions = {}): Promise<boolean> {
    return await this.layers.unpack(layer, this.content.path(layer.digest), parentsOf(layers, layer), options);
  }
}

/** Chain IDs of what is below a layer, topmost first. */
export function parentsOf(layers: readonly LayerRecord[], layer: LayerRecord): Digest[] {
  return layers
    .slice(0, layers.indexOf(layer))
    .map(({ chainId }) => chainId)
    .reverse();
}

function timeOf(text: string | undefined): number | null {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? null : time;
}

/** The layers of a manifest with what their config says of them. Throws `corrupt` when they do not fit. */
export function layerRecords(manifest: Manifest, config: ImageConfig): LayerRecord[] {
  const diffIds = config.rootfs.diff_ids.map(parseDigest);
  if (diffIds.length !== manifest.layers.length) {
    throw new WherryError(
      'corrupt',
      `mismatched image rootfs and manifest layers: ${diffIds.length} diff_ids, ${manifest.layers.length} layers`,
    );
  }
  const chain = chainIds(diffIds);
  return manifest.layers.map(({ digest, size }, index) => ({
    digest: parseDigest(digest),
    size,
    diffId: diffIds[index]!,
    chainId: chain[index]!,
  }));
}
