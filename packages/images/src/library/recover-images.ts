import { type Digest, hashFor, hexOf } from '@wherry/oci';
import type { ContentStore } from '../content/content-store.ts';
import type { ImageRecord } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';

/**
 * After a power cut, before anything is done: of images (by manifest) whose content may not have reached the disk the
 * blobs are read again, and an image with a broken one goes. Their unpacked layers go, too, unless an image has them
 * that was settled; they are made again of the blobs. What belongs to no image goes as well: a pull had not come to its end.
 */
export async function recoverImages(parts: StoreParts, doubtful: readonly Digest[]): Promise<void> {
  const { metadata, layers, garbage, unsettled, log } = parts;
  const { images, namesOf } = await metadata.state();
  const isDoubtful = new Set(doubtful);
  const sure = [...images.values()].filter(({ manifest }) => !isDoubtful.has(manifest));
  const settled = new Set(sure.flatMap((image) => image.layers.map(({ chainId }) => chainId)));
  for (const manifest of isDoubtful) {
    const image = images.get(manifest);
    if (image === undefined) continue;
    for (const { chainId } of image.layers) if (!settled.has(chainId)) await (await layers.detach(chainId))?.();
    const broken = await brokenBlobs(parts.content, image);
    if (broken.length === 0) continue;
    log.warn('an image did not reach the disk before a power cut', { id: image.id, broken });
    for (const digest of broken) await parts.content.remove(digest);
    await metadata.remove([...(namesOf.get(manifest) ?? [])], [manifest]);
  }
  await garbage.collect();
  await unsettled.clear();
}

async function brokenBlobs(content: ContentStore, image: ImageRecord): Promise<Digest[]> {
  const broken: Digest[] = [];
  for (const digest of [image.manifest, image.id, ...image.layers.map((layer) => layer.digest)]) {
    if (!(await isWhole(content, digest))) broken.push(digest);
  }
  return broken;
}

async function isWhole(content: ContentStore, digest: Digest): Promise<boolean> {
  const hash = hashFor(digest);
  try {
    for await (const chunk of content.stream(digest)) hash.update(chunk);
  } catch {
    // Gone, or what the disk gives instead of it: an error.
    return false;
  }
  return hash.digest('hex') === hexOf(digest);
}
