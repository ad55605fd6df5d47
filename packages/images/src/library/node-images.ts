import type { Digest } from '@wherry/oci';
import type { ImageService, ImageStatus } from '@wherry/runtime';
import { hasDigest } from '../image-names.ts';
import type { ImageRecord, MetadataState } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';

// Images as a kubelet sees them on its node; see `ImageService`.

export async function imageStatus(
  { finder, metadata }: StoreParts,
  reference: string,
): Promise<ImageStatus | undefined> {
  const found = await finder.find(reference);
  return found && statusOf(await metadata.state(), found.image);
}

export async function listImages({ metadata }: StoreParts): Promise<readonly ImageStatus[]> {
  const state = await metadata.state();
  return [...state.manifests.keys()].map((id) => statusOf(state, state.byId(id)!));
}

export async function removeFromNode(
  { finder, metadata, garbage, events }: StoreParts,
  reference: string,
): Promise<void> {
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

export async function imageFsInfo({
  layers,
  metadata,
  directory,
}: StoreParts): ReturnType<ImageService['imageFsInfo']> {
  const { bytes, inodes } = await layers.usage();
  const blobs = new Map<Digest, number>();
  for (const image of await metadata.images()) {
    for (const layer of image.layers) blobs.set(layer.digest, layer.size);
  }
  const stored = [...blobs.values()].reduce((sum, size) => sum + size, 0);
  return { mountpoint: directory, usedBytes: bytes + stored, inodesUsed: inodes + blobs.size };
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
