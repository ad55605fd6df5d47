import { join } from 'node:path';
import type { Digest } from '@wherry/oci';
import { Journal } from './journal.ts';

/** One image: a manifest for one platform. */
export interface ImageRecord {
  readonly manifest: Digest;
  readonly mediaType: string;
  /** Digest of the config: the image's ID. */
  readonly id: Digest;
  readonly layers: readonly LayerRecord[];
  /** Manifest, config and layers as stored. */
  readonly sizeBytes: number;
  readonly user: string;
  /** When it came here, ms. */
  readonly addedAt: number;
  /** Of the config, ms, `null` where it says none; records of before have none of these three. */
  readonly createdAt?: number | null | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Of the layers' files, bottom first. */
  readonly unpackedBytes?: readonly number[] | undefined;
  /** The image it was made from. */
  readonly parent?: Digest | undefined;
}

export interface LayerRecord {
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: Digest;
  /** Of this layer on top of those before it (OCI config.md, "Layer ChainID"). */
  readonly chainId: Digest;
}

/** What a name means: `target` is what the registry or archive named, an index or the manifest itself. */
export interface NameRecord {
  readonly manifest: Digest;
  readonly target: Digest;
}

/** One change, as the journal keeps it. */
export type MetadataChange =
  | { readonly image: ImageRecord }
  | { readonly noImage: Digest }
  | { readonly name: string; readonly to: NameRecord }
  | { readonly noName: string }
  | { readonly tagged: Digest; readonly at: number }
  /** The compressed form of a plain layer, as it was pushed. */
  | { readonly compressed: Digest; readonly as: CompressedLayer }
  /** A repository of a registry that has a blob. */
  | { readonly blob: Digest; readonly in: string };

export interface CompressedLayer {
  readonly digest: Digest;
  readonly size: number;
}

/** What is known of images and names, indexed. Names are full references, with tag or digest. */
export class MetadataState {
  readonly images = new Map<Digest, ImageRecord>();
  readonly names = new Map<string, NameRecord>();
  /** Manifests by image ID. */
  readonly manifests = new Map<Digest, Set<Digest>>();
  readonly namesOf = new Map<Digest, Set<string>>();
  /** IDs of images that were made from an ID. */
  readonly children = new Map<Digest, Set<Digest>>();
  /** By ID: not every record of an image, as of an archive that it came from again, says what it was made from. */
  readonly #parents = new Map<Digest, Digest>();
  readonly taggedAt = new Map<Digest, number>();
  readonly compressed = new Map<Digest, CompressedLayer>();
  /** Repositories by blob, the latest last. */
  readonly sources = new Map<Digest, string[]>();
  /** How many images and names need a blob. */
  readonly #uses = new Map<Digest, number>();
  /**
   * How many images need an unpacked layer, by chain ID: a plain layer at the bottom has the same one as its blob, which
   * may be in use elsewhere.
   */
  readonly #layerUses = new Map<Digest, number>();

  /** Whether a blob is needed. */
  isUsed(digest: Digest): boolean {
    return this.#uses.has(digest);
  }

  isLayerUsed(chainId: Digest): boolean {
    return this.#layerUses.has(chainId);
  }

  /** The record of an ID that was added first. */
  byId(id: Digest): ImageRecord | undefined {
    const [manifest] = this.manifests.get(id) ?? [];
    return manifest && this.images.get(manifest);
  }

  /** The names of an ID. */
  namesById(id: Digest): string[] {
    return [...(this.manifests.get(id) ?? [])].flatMap((manifest) => [...(this.namesOf.get(manifest) ?? [])]);
  }

  apply(change: MetadataChange): void {
    if ('image' in change) this.#setImage(change.image);
    else if ('noImage' in change) this.#deleteImage(change.noImage);
    else if ('name' in change) this.#setName(change.name, change.to);
    else if ('noName' in change) this.#deleteName(change.noName);
    else if ('tagged' in change) this.taggedAt.set(change.tagged, change.at);
    else if ('compressed' in change) this.compressed.set(change.compressed, change.as);
    else this.#setSource(change.blob, change.in);
  }

  /** All of it, as changes of an empty state. */
  *snapshot(): Generator<MetadataChange> {
    for (const image of this.images.values()) yield { image };
    for (const [name, to] of this.names) yield { name, to };
    for (const [tagged, at] of this.taggedAt) if (this.manifests.has(tagged)) yield { tagged, at };
    for (const [compressed, as] of this.compressed) if (this.isUsed(compressed)) yield { compressed, as };
    for (const [blob, repositories] of this.sources) {
      if (this.isUsed(blob)) for (const repository of repositories) yield { blob, in: repository };
    }
  }

  #setImage(image: ImageRecord): void {
    if (this.images.has(image.manifest)) this.#forget(this.images.get(image.manifest)!);
    this.images.set(image.manifest, image);
    addTo(this.manifests, image.id, image.manifest);
    if (image.parent) {
      const before = this.#parents.get(image.id);
      if (before && before !== image.parent) removeFrom(this.children, before, image.id);
      this.#parents.set(image.id, image.parent);
      addTo(this.children, image.parent, image.id);
    }
    this.#useImage(image, 1);
  }

  #deleteImage(manifest: Digest): void {
    const image = this.images.get(manifest);
    if (image === undefined) return;
    for (const name of [...(this.namesOf.get(manifest) ?? [])]) this.#deleteName(name);
    this.#forget(image);
    if (!this.manifests.has(image.id)) this.taggedAt.delete(image.id);
  }

  #forget(image: ImageRecord): void {
    this.images.delete(image.manifest);
    removeFrom(this.manifests, image.id, image.manifest);
    const parent = this.#parents.get(image.id);
    if (parent && !this.manifests.has(image.id)) {
      this.#parents.delete(image.id);
      removeFrom(this.children, parent, image.id);
    }
    this.#useImage(image, -1);
  }

  #setName(name: string, to: NameRecord): void {
    this.#deleteName(name);
    this.names.set(name, to);
    addTo(this.namesOf, to.manifest, name);
    count(this.#uses, to.target, 1);
  }

  #deleteName(name: string): void {
    const record = this.names.get(name);
    if (record === undefined) return;
    this.names.delete(name);
    removeFrom(this.namesOf, record.manifest, name);
    count(this.#uses, record.target, -1);
  }

  #setSource(blob: Digest, repository: string): void {
    const others = (this.sources.get(blob) ?? []).filter((other) => other !== repository);
    this.sources.set(blob, [...others, repository].slice(-8));
  }

  #useImage({ manifest, id, layers }: ImageRecord, by: 1 | -1): void {
    for (const digest of [manifest, id, ...layers.map((layer) => layer.digest)]) count(this.#uses, digest, by);
    for (const { chainId } of layers) count(this.#layerUses, chainId, by);
  }
}

function count(uses: Map<Digest, number>, digest: Digest, by: 1 | -1): void {
  const left = (uses.get(digest) ?? 0) + by;
  if (left === 0) uses.delete(digest);
  else uses.set(digest, left);
}

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const values = map.get(key);
  if (values) values.add(value);
  else map.set(key, new Set([value]));
}

function removeFrom<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const values = map.get(key);
  values?.delete(value);
  if (values?.size === 0) map.delete(key);
}

/** Names and images: kept in memory, read when first needed, every change durable before it is acknowledged. */
export class Metadata implements AsyncDisposable {
  readonly #journal: Journal<MetadataChange, MetadataState>;

  constructor(directory: string) {
    this.#journal = new Journal({
      path: join(directory, 'images.jsonl'),
      previous: join(directory, 'images.json'),
      empty: () => new MetadataState(),
    });
  }

  /**
   * Removes what a process that died left half-written, and mends a broken file; gives where it was put aside. Only
   * before anything is begun.
   */
  async cleanUp(): Promise<string | undefined> {
    return await this.#journal.cleanUp();
  }

  async state(): Promise<MetadataState> {
    return await this.#journal.state();
  }

  async images(): Promise<readonly ImageRecord[]> {
    return [...(await this.state()).images.values()];
  }

  async image(manifest: Digest): Promise<ImageRecord | undefined> {
    return (await this.state()).images.get(manifest);
  }

  async name(name: string): Promise<NameRecord | undefined> {
    return (await this.state()).names.get(name);
  }

  async names(): Promise<readonly (readonly [string, NameRecord])[]> {
    return [...(await this.state()).names];
  }

  /** Adds an image under names, which move from wherever they pointed. `taggedAt` in ms. */
  async add(image: ImageRecord, names: readonly (readonly [string, Digest])[], taggedAt?: number): Promise<void> {
    await this.#journal.update((state) => {
      const known = state.images.get(image.manifest);
      const changes: MetadataChange[] = [];
      if (known === undefined) changes.push({ image });
      else if (known.parent === undefined && image.parent !== undefined) {
        changes.push({ image: { ...known, parent: image.parent } });
      }
      for (const [name, target] of names) changes.push({ name, to: { manifest: image.manifest, target } });
      if (taggedAt !== undefined && names.length > 0) changes.push({ tagged: image.id, at: taggedAt });
      return changes;
    });
  }

  /** Removes names, and images with every name that points to them. */
  async remove(names: readonly string[], manifests: readonly Digest[]): Promise<void> {
    await this.#journal.update(() => [
      ...names.map((noName) => ({ noName })),
      ...manifests.map((noImage) => ({ noImage })),
    ]);
  }

  async update(changes: (state: MetadataState) => readonly MetadataChange[]): Promise<void> {
    await this.#journal.update(changes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#journal[Symbol.asyncDispose]();
  }
}
