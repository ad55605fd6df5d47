import type { ImageSummary } from '@wherry/images';
import type { Digest } from '@wherry/oci';
import type { EngineImages } from '../options.ts';

/** Bytes of an image's layers that others stand on, too: all images count, also those that nobody lists. */
export async function sharedSizes(images: EngineImages): Promise<(image: ImageSummary) => number> {
  const [all, sizes] = await Promise.all([images.summaries(), images.layerSizes()]);
  const users = new Map<Digest, number>();
  for (const { layers } of all) for (const { chainId } of layers) users.set(chainId, (users.get(chainId) ?? 0) + 1);
  return ({ layers }) =>
    layers
      .filter(({ chainId }) => (users.get(chainId) ?? 0) > 1)
      .reduce((sum, { chainId }) => sum + (sizes.get(chainId) ?? 0), 0);
}
