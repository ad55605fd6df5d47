import { stat } from 'node:fs/promises';
import { messageOf, WherryError } from '@wherry/base';
import { type Digest, digestOf, formatPlatform, type ImageConfig, type Platform } from '@wherry/oci';
import { ArchiveFiles } from '../archive/archive-files.ts';
import type { ArchivedImage, ArchivedPlatform } from '../archive/archived-image.ts';
import { Arrival } from '../archive/arrival.ts';
import { layerType, parentsIn, readDockerArchive } from '../archive/docker-archive.ts';
import { readLegacyArchive } from '../archive/legacy-archive.ts';
import { hasSeveralPlatforms, readLayout } from '../archive/oci-layout.ts';
import { familiarName } from '../image-names.ts';
import type { RegisterOptions } from '../image-registrar.ts';
import { largestTarOf } from '../layers/unpack.ts';
import type { ImageRecord, LayerRecord } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';
import { StoredLayers } from './stored-layers.ts';

export interface LoadOptions {
  /** What to take from archives of several platforms (default: everything). */
  readonly platforms?: readonly Platform[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of each layer that is unpacked, `size` being its bytes in the archive. */
  readonly onLayer?: ((layer: LayerRecord) => void) | undefined;
  /** Told of each image when it is here: a later one of the archive may fail. */
  readonly onLoaded?: ((image: LoadedImage) => void) | undefined;
}

export interface LoadedImage {
  readonly id: string;
  /** Full references. */
  readonly names: readonly string[];
  /** Names (familiar) that another image had until now, with its ID: docker tells of them. */
  readonly replaced?: readonly { readonly name: string; readonly id: string }[] | undefined;
  /** Of an archive from before docker 1.10, of whose images docker says nothing. */
  readonly isLegacy?: boolean | undefined;
}

/** Loads every image of an archive; see `ImageStore.load`. */
export async function loadArchive(
  parts: StoreParts,
  source: string | AsyncIterable<Uint8Array>,
  options: LoadOptions,
): Promise<LoadedImage[]> {
  await using files = await openArchive(parts, source, options);
  using stored = new StoredLayers(parts);
  const loaded: LoadedImage[] = [];
  const parents = new Map<Digest, Digest>();
  const { images, isLegacy } = await imagesOf(parts, files, stored, options);
  for await (const image of images) {
    for (const { manifest, blobs } of [image, ...(image.behind ?? [])]) {
      await stored.keep([digestOf(manifest), ...blobs.keys()]);
    }
    const one = { ...(await loadOne(parts, image, options)), ...(isLegacy && { isLegacy }) };
    loaded.push(one);
    if (image.parent !== undefined) parents.set(one.id, image.parent);
    options.onLoaded?.(one);
  }
  if (loaded.length === 0 && options.platforms !== undefined) {
    const words = `requested platform (${options.platforms.map(formatPlatform).join(', ')}) not found`;
    throw new WherryError('notFound', `${words}: image might be filtered out`);
  }
  for (const [child, parent] of parents) {
    // Only a parent that came with it counts.
    if (loaded.some(({ id }) => id === parent)) await setParent(parts, child, parent);
  }
  return loaded;
}

async function imagesOf(
  { content, platform, limits }: StoreParts,
  files: ArchiveFiles,
  stored: StoredLayers,
  options: LoadOptions,
): Promise<{ images: AsyncIterable<ArchivedImage>; isLegacy: boolean }> {
  const context = {
    platforms: options.platforms,
    machine: platform,
    largestLayer: largestTarOf(limits),
    stored: async (chainId: Digest) => {
      const layer = await stored.find(chainId);
      if (layer === undefined) return undefined;
      return { mediaType: layerType(await content.start(layer.digest)), digest: layer.digest, size: layer.size };
    },
    isStored: async (digest: Digest, size: number) => {
      await stored.keep([digest]);
      return (await content.size(digest)) === size;
    },
  };
  const list = files.find('manifest.json');
  const index = files.find('index.json');
  if (index && (list === undefined || (await hasSeveralPlatforms(files, index)))) {
    const parents = list ? await parentsIn(files, list) : new Map();
    return { images: readLayout(files, index, context, parents), isLegacy: false };
  }
  if (list) return { images: readDockerArchive(files, list, context), isLegacy: false };
  return { images: readLegacyArchive(files, context), isLegacy: true };
}

async function loadOne(
  parts: StoreParts,
  image: ArchivedImage,
  options: LoadOptions,
): Promise<LoadedImage & { readonly id: Digest }> {
  const { metadata, events } = parts;
  const state = await metadata.state();
  const had = image.names.map((name) => [name, idOf(state, name)] as const);
  const { id, labels } = await enter(parts, image, image.names, options, image.index);
  // They have the name's index to stand behind.
  for (const other of image.behind ?? []) await enter(parts, other, [], options);
  const replaced = had.flatMap(([name, old]) => (old && old !== id ? [{ name: familiarName(name), id: old }] : []));
  events.emit({ action: 'load', id, name: id, attributes: labels });
  return { id, names: image.names, ...(replaced.length > 0 && { replaced }) };
}

async function enter(
  parts: StoreParts,
  { manifest, blobs }: ArchivedPlatform,
  names: readonly string[],
  options: LoadOptions,
  index?: Buffer,
): Promise<ImageRecord> {
  let done = 0;
  const onLayer: RegisterOptions['onLayer'] = (layer, isNew) => {
    done++;
    if (isNew) options.onLayer?.(layer);
  };
  const { registrar, unsettled } = parts;
  const { signal } = options;
  const digest = digestOf(manifest);
  const known = index === undefined ? await named(parts, digest, names) : undefined;
  if (known) return known;
  using _arrival = await unsettled.begin(digest);
  try {
    return await registrar.registerWritten(manifest, blobs, names, { index, signal, onLayer, isDoubtful: true });
  } catch (error) {
    throw inWordsOfLoading(error, done);
  }
}

/** Gives an image its names that is here whole: there is nothing to wait for the disk for. */
async function named(
  { metadata, content, layers, pins }: StoreParts,
  manifest: Digest,
  names: readonly string[],
): Promise<ImageRecord | undefined> {
  const found = await metadata.image(manifest);
  if (found === undefined) return undefined;
  using _ = await pins.pin([manifest, found.id, ...found.layers.flatMap(({ digest, chainId }) => [digest, chainId])]);
  // It may have gone while the pin waited for a collection.
  const state = await metadata.state();
  if (!state.images.has(manifest) || (await content.size(found.id)) === undefined) return undefined;
  for (const { digest, chainId, size } of found.layers) {
    if ((await content.size(digest)) !== size || !(await layers.has(chainId))) return undefined;
  }
  const given = names.filter((name) => state.names.get(name)?.target !== manifest);
  if (given.length > 0) {
    await metadata.add(
      found,
      given.map((name) => [name, manifest]),
    );
  }
  return found;
}

/** Enters which image another was made from. Throws `corrupt` when their histories say otherwise. */
async function setParent({ metadata, finder }: StoreParts, child: Digest, parent: Digest): Promise<void> {
  const state = await metadata.state();
  const [one, other] = [state.byId(child), state.byId(parent)];
  // Removed meanwhile.
  if (one === undefined || other === undefined) return;
  if (!isParent(await finder.config(other), await finder.config(one))) {
    throw new WherryError('corrupt', `image ${parent} is not a valid parent for ${child}`);
  }
  await metadata.update(({ images }) => {
    const known = images.get(one.manifest);
    return known === undefined || known.parent !== undefined ? [] : [{ image: { ...known, parent } }];
  });
}

/** dockerd's rule: a child has its parent's history and one step more. */
function isParent({ history: parent = [] }: ImageConfig, { history: child = [] }: ImageConfig): boolean {
  if (parent.length === 0 && child.length === 0) return true;
  if (child.length - parent.length !== 1) return false;
  return parent.every((step, index) => {
    const other = child[index]!;
    const same = (name: 'author' | 'created_by' | 'comment'): boolean => (step[name] ?? '') === (other[name] ?? '');
    const created =
      Date.parse(step.created ?? '') === Date.parse(other.created ?? '') || step.created === other.created;
    const empty = (step.empty_layer ?? false) === (other.empty_layer ?? false);
    return same('author') && same('created_by') && same('comment') && created && empty;
  });
}

/** dockerd says which layer of an archive is not what its config says. */
function inWordsOfLoading(error: unknown, layer: number): unknown {
  const [, found, expected] =
    /^wrong diff id calculated on extraction: (\S+), expected (\S+)$/.exec(messageOf(error)) ?? [];
  if (expected === undefined) return error;
  const words = `invalid diffID for layer ${layer}: expected "${expected}", got "${found}"`;
  return new WherryError('corrupt', words, { cause: error });
}

function idOf(state: Awaited<ReturnType<StoreParts['metadata']['state']>>, name: string): Digest | undefined {
  const record = state.names.get(name);
  return record && state.images.get(record.manifest)?.id;
}

async function openArchive(
  parts: StoreParts,
  source: string | AsyncIterable<Uint8Array>,
  { platforms, signal }: LoadOptions,
): Promise<ArchiveFiles> {
  const { content, limits } = parts;
  if (typeof source === 'string' && (await stat(source)).isDirectory()) {
    return await ArchiveFiles.fromFolder(content, source);
  }
  // Of several platforms one is asked for: who knows what else there is.
  const unpacks = platforms === undefined;
  const arrival = await Arrival.receive(parts, source, { kind: 'archive', largest: limits.bytes, unpacks, signal });
  return ArchiveFiles.fromArrival(content, arrival);
}
