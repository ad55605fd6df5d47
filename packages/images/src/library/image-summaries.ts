import type { Digest, Platform } from '@wherry/oci';
import { noSuchPlatform } from '../image-finder.ts';
import type { ImageDetails, ImageSummary } from '../image-library.ts';
import { hasDigest } from '../image-names.ts';
import type { ImageRecord, MetadataState } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';

/** Every image once, newest first. */
export async function imageSummaries(parts: StoreParts): Promise<ImageSummary[]> {
  const state = await parts.metadata.state();
  let found: Promise<ReadonlySet<string>> | undefined;
  const behind = (): Promise<ReadonlySet<string>> => {
    found ??= parts.finder.behindNames();
    return found;
  };
  const summaries: ImageSummary[] = [];
  for (const id of [...state.manifests.keys()]) {
    const image = state.byId(id);
    if (image) summaries.push(await summaryOf(parts, state, image, behind));
  }
  return summaries.sort((one, other) => (other.createdAt ?? 0) - (one.createdAt ?? 0) || (one.id < other.id ? -1 : 1));
}

export async function imageDetails(parts: StoreParts, reference: string, platform?: Platform): Promise<ImageDetails> {
  const { finder, layers, metadata } = parts;
  const image = await finder.forPlatform(await finder.require(reference), platform);
  if (image === undefined) throw noSuchPlatform(reference, platform!);
  const state = await metadata.state();
  return {
    ...(await summaryOf(parts, state, image, () => finder.behindNames())),
    config: await finder.config(image),
    rawConfig: await finder.rawConfig(image),
    lastTaggedAt: state.taggedAt.get(image.id),
    folders: image.layers.map(({ chainId }) => layers.folder(chainId)).reverse(),
    layerBytes: await layerBytes(parts, image),
  };
}

/** Bytes of unpacked layers by chain ID, and of blobs by digest. */
export async function layerSizes(parts: StoreParts): Promise<ReadonlyMap<Digest, number>> {
  const sizes = new Map<Digest, number>();
  for (const image of await parts.metadata.images()) {
    const bytes = await layerBytes(parts, image);
    for (const [index, { digest, size, chainId }] of image.layers.entries()) {
      // A plain layer at the bottom has one digest for both: what it takes unpacked is what is asked for.
      if (!sizes.has(digest)) sizes.set(digest, size);
      sizes.set(chainId, bytes[index] ?? 0);
    }
  }
  return sizes;
}

async function summaryOf(
  parts: StoreParts,
  state: MetadataState,
  image: ImageRecord,
  behind: () => Promise<ReadonlySet<string>>,
): Promise<ImageSummary> {
  const names = state.namesById(image.id);
  const bytes = await layerBytes(parts, image);
  // In records of before, a time of 0 may be the config's or that it has none.
  const isUnknown = image.createdAt === undefined || image.createdAt === 0;
  const facts = isUnknown || image.labels === undefined ? await parts.finder.config(image) : undefined;
  return {
    id: image.id,
    manifest: image.manifest,
    parent: image.parent,
    names: names.filter((name) => !hasDigest(name)).sort(),
    digests: names.filter(hasDigest).sort(),
    createdAt: isUnknown ? timeOf(facts?.created) : (image.createdAt ?? undefined),
    addedAt: image.addedAt,
    sizeBytes: bytes.reduce((sum, size) => sum + size, 0),
    isBehindName: names.length === 0 && (await behind()).has(image.manifest),
    labels: image.labels ?? facts?.config?.Labels ?? {},
    layers: image.layers,
  };
}

function timeOf(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : time;
}

/** Unpacked bytes of each layer, bottom first. */
export async function layerBytes({ layers }: StoreParts, image: ImageRecord): Promise<readonly number[]> {
  if (image.unpackedBytes) return image.unpackedBytes;
  const sizes: number[] = [];
  for (const { chainId } of image.layers) sizes.push((await layers.facts(chainId))?.bytes ?? 0);
  return sizes;
}
