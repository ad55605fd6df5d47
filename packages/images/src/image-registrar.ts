import { type Clock, WherryError } from '@wherry/base';
import { type Digest, digestOf, type ImageConfig, type Manifest, mediaTypes, parseDigest } from '@wherry/oci';
import type { ContentStore, Ingest } from './content/content-store.ts';
import { parseConfig } from './content/image-config.ts';
import { largestDocument, parseManifest } from './content/json.ts';
import type { Pins } from './content/pins.ts';
import type { DiskSync } from './disk-sync.ts';
import { chainIds, type LayerStore, type UnpackOptions } from './layers/layer-store.ts';
import type { ImageRecord, LayerRecord, Metadata } from './metadata.ts';

export interface RegisterOptions {
  readonly onLayer?: ((layer: LayerRecord, phase: 'extracting' | 'complete') => void) | undefined;
  readonly parent?: Digest | undefined;
  /** Whether the names are given by a person here, which docker remembers the time of. */
  readonly isTagged?: boolean | undefined;
  /** The index for which the names stand. */
  readonly index?: Buffer | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Not waited for the disk: `UnsettledImages` knows of it. */
  readonly isDoubtful?: boolean | undefined;
}

/** Makes images of content: whatever brings an image here ends in `register`. */
export class ImageRegistrar {
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly metadata: Metadata;
  readonly pins: Pins;
  readonly #clock: Clock;
  readonly #disk: DiskSync;

  constructor(content: ContentStore, layers: LayerStore, metadata: Metadata, pins: Pins, clock: Clock, disk: DiskSync) {
    this.#disk = disk;
    this.content = content;
    this.layers = layers;
    this.metadata = metadata;
    this.pins = pins;
    this.#clock = clock;
  }

  /** Commits written blobs and registers the image. */
  async registerWritten(
    manifest: Buffer,
    blobs: ReadonlyMap<Digest, Ingest>,
    names: readonly string[],
    options: RegisterOptions = {},
  ): Promise<ImageRecord> {
    const digest = digestOf(manifest);
    const { index = manifest } = options;
    const target = digestOf(index);
    using _ = await this.pins.pin([digest, target, ...blobs.keys()]);
    for (const [expected, ingest] of blobs) await ingest.commit(expected);
    await this.content.write(manifest);
    if (index !== manifest) await this.content.write(index);
    return await this.register(
      digest,
      names.map((name) => [name, target] as const),
      options,
    );
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
    const { onLayer = () => undefined } = options;
    const manifestBytes = await this.content.read(manifestDigest, largestDocument);
    const manifest = parseManifest(manifestBytes);
    const id = parseDigest(manifest.config.digest);
    const config = parseConfig(await this.content.read(id, largestDocument));
    const layers = layerRecords(manifest, config);
    using _ = await this.pins.pin(layers.map((layer) => layer.chainId));
    for (const layer of layers) {
      onLayer(layer, 'extracting');
      await this.unpack(layers, layer, { signal: options.signal });
      onLayer(layer, 'complete');
    }
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

  /** Unpacks one layer of a stack whose lower layers are unpacked, or will be. */
  async unpack(layers: readonly LayerRecord[], layer: LayerRecord, options: UnpackOptions = {}): Promise<void> {
    const below = layers.slice(0, layers.indexOf(layer)).map(({ chainId }) => chainId);
    await this.layers.unpack(layer, this.content.path(layer.digest), below.reverse(), options);
  }
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
