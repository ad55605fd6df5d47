import { WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  familiarReference,
  formatPlatform,
  formatReference,
  hexOf,
  type ImageConfig,
  isDigest,
  type Platform,
  parseReference,
  platformOf,
  type Reference,
  repositoryOf,
  selectPlatform,
  suitsPlatform,
  tryParseReference,
} from '@wherry/oci';
import type { ContentStore } from './content/content-store.ts';
import { configOf, parseRawConfig } from './content/image-config.ts';
import { largestDocument, parseIndex, parseObject } from './content/json.ts';
import type { ImageRecord, Metadata, MetadataState, NameRecord } from './metadata.ts';

/** How an image was asked for: by a name that it has, or by its ID or a prefix of it. */
export interface FoundImage {
  readonly image: ImageRecord;
  /** The full reference that was given, when it was one. */
  readonly name: string | undefined;
}

/** An entry of an index, with the image that it is where that is here. */
export interface IndexedImage {
  readonly descriptor: Descriptor;
  readonly image: ImageRecord | undefined;
}

/** A config as it is stored, and what of it is known. They share what they hold. */
interface KeptConfig {
  readonly raw: Readonly<Record<string, unknown>>;
  readonly config: ImageConfig;
}

/** Configs and indexes kept in memory. */
const mostConfigs = 200;
const mostIndexes = 1000;

/** Finds images by what people call them. */
export class ImageFinder {
  readonly #metadata: Metadata;
  readonly #content: ContentStore;
  readonly #configs = new Map<Digest, KeptConfig>();
  readonly #indexes = new Map<Digest, readonly Descriptor[] | undefined>();

  constructor(metadata: Metadata, content: ContentStore) {
    this.#metadata = metadata;
    this.#content = content;
  }

  /** By name with tag or digest, by ID or by a unique prefix of one. Throws `invalid` for what can be neither. */
  async find(reference: string): Promise<FoundImage | undefined> {
    const state = await this.#metadata.state();
    const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(reference)?.[1];
    const isId = hex !== undefined && (reference.startsWith('sha256:') || hex.length === 64);
    const named = isId ? undefined : hex === undefined ? parseReference(reference) : tryParseReference(reference);
    const byName = named && this.#byName(state, named);
    if (byName || hex === undefined) return byName;
    const image = byPrefix(state, hex);
    return image && { image, name: undefined };
  }

  /** Throws `notFound` in docker's words. */
  async require(reference: string): Promise<FoundImage> {
    const found = await this.find(reference);
    if (found === undefined) throw noSuchImage(reference);
    return found;
  }

  /** What was found, or what the index behind its name has here for a platform; `undefined` for neither. */
  async forPlatform({ image, name }: FoundImage, platform: Platform | undefined): Promise<ImageRecord | undefined> {
    if (platform === undefined) return image;
    const own = await this.#platform(image);
    const suits = suitsPlatform(own, platform);
    if (suits && own.architecture === platform.architecture) return image;
    // One that would run, too, is for where there is none of the very architecture.
    const entries = (name === undefined ? undefined : await this.indexBehind(name)) ?? [];
    const chosen = selectPlatform(
      entries.filter((entry) => entry.image !== undefined).map(({ descriptor }) => descriptor),
      platform,
    );
    return entries.find(({ descriptor }) => descriptor === chosen)?.image ?? (suits ? image : undefined);
  }

  /** The entries of the index that a name (a full reference) stands for; `undefined` where it stands for a manifest. */
  async indexBehind(name: string): Promise<readonly IndexedImage[] | undefined> {
    const state = await this.#metadata.state();
    const record = state.names.get(name);
    const manifests = record && (await this.#index(record));
    if (manifests === undefined) return undefined;
    const own = state.images.get(record!.manifest);
    // The same image may have come by another manifest than the index has of it.
    const stands = manifests.some(({ digest }) => digest === record!.manifest);
    const instead = own && !stands ? selectPlatform(manifests, await this.#platform(own)) : undefined;
    return manifests.map((descriptor) => ({
      descriptor,
      image: descriptor === instead ? own : state.images.get(descriptor.digest as Digest),
    }));
  }

  /** Manifests of the images that the indexes of names have: without a name of their own, they are not dangling. */
  async behindNames(): Promise<ReadonlySet<string>> {
    const state = await this.#metadata.state();
    const targets = new Map<Digest, NameRecord>();
    for (const record of state.names.values())
      if (record.target !== record.manifest) targets.set(record.target, record);
    const found = new Set<string>();
    for (const record of targets.values()) {
      for (const { digest } of (await this.#index(record)) ?? []) found.add(digest);
    }
    return found;
  }

  async config(image: ImageRecord): Promise<ImageConfig> {
    return (await this.#configOf(image.id)).config;
  }

  /** The config as stored. */
  async rawConfig(image: ImageRecord): Promise<Readonly<Record<string, unknown>>> {
    return (await this.#configOf(image.id)).raw;
  }

  forget(id: Digest): void {
    this.#configs.delete(id);
  }

  async #configOf(id: Digest): Promise<KeptConfig> {
    const known = this.#configs.get(id);
    if (known) return known;
    const raw = parseRawConfig(await this.#content.read(id, largestDocument));
    const kept = { raw, config: configOf(raw) };
    if (this.#configs.size >= mostConfigs) this.#configs.delete(this.#configs.keys().next().value!);
    this.#configs.set(id, kept);
    return kept;
  }

  /** What never changes is kept: an index is found by its digest. */
  async #index({ target, manifest }: NameRecord): Promise<readonly Descriptor[] | undefined> {
    if (target === manifest) return undefined;
    if (this.#indexes.has(target)) return this.#indexes.get(target);
    if ((await this.#content.size(target)) === undefined) return undefined;
    const content = await this.#content.read(target, largestDocument);
    const isIndex = Array.isArray(parseObject(content, 'image index').manifests);
    const manifests = isIndex ? parseIndex(content).manifests : undefined;
    if (this.#indexes.size >= mostIndexes) this.#indexes.delete(this.#indexes.keys().next().value!);
    this.#indexes.set(target, manifests);
    return manifests;
  }

  async #platform(image: ImageRecord): Promise<Platform> {
    return platformOf(await this.config(image));
  }

  #byName(state: MetadataState, named: Reference): FoundImage | undefined {
    // A digest says which image it is; the tag beside it is ornament.
    const key = formatReference(named.digest === undefined ? named : { ...named, tag: undefined });
    const record = state.names.get(key);
    const image = record && state.images.get(record.manifest);
    if (image) return { image, name: key };
    if (named.digest === undefined) return undefined;
    // A manifest that came under another name of the same repository: by tag, or within an index.
    const byManifest = state.images.get(named.digest);
    const candidates = byManifest ? [byManifest] : [...state.images.values()];
    for (const candidate of candidates) {
      for (const name of state.namesOf.get(candidate.manifest) ?? []) {
        const other = tryParseReference(name);
        if (!other || repositoryOf(other) !== repositoryOf(named)) continue;
        if (byManifest || state.names.get(name)?.target === named.digest) return { image: candidate, name: undefined };
      }
    }
    return undefined;
  }
}

/** An ambiguous prefix finds nothing, as with docker. */
function byPrefix(state: MetadataState, prefix: string): ImageRecord | undefined {
  const whole = prefix.length === 64 ? state.byId(`sha256:${prefix}`) : undefined;
  if (whole) return whole;
  let found: Digest | undefined;
  for (const id of state.manifests.keys()) {
    if (!hexOf(id).startsWith(prefix)) continue;
    if (found !== undefined) return undefined;
    found = id;
  }
  return found && state.byId(found);
}

/** dockerd's words for an image that is here, of another platform than the one that is asked for. */
export function noSuchPlatform(reference: string, platform: Platform): WherryError {
  const words = `image with reference ${reference} was found but does not provide the specified platform`;
  return new WherryError('notFound', `${words} (${formatPlatform(platform)})`);
}

/** dockerd's words: `No such image: busybox:latest`. 64 digits are an ID. */
export function noSuchImage(given: string): WherryError {
  const reference = /^[0-9a-f]{64}$/.test(given) ? `sha256:${given}` : given;
  const named = isDigest(reference) ? undefined : tryParseReference(reference);
  return new WherryError('notFound', `No such image: ${named ? familiarReference(named) : reference}`);
}
