import { mediaTypes } from '@wherry/oci';
import { detectCompression } from '../../content/compression.ts';
import { largestDocument } from '../../content/json.ts';
import type { ImageRecord } from '../../metadata.ts';
import type { StoreParts } from '../../store-parts.ts';

export interface WholeIndex {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly images: readonly ImageRecord[];
}

/**
 * The index that a name stands for, where all that it names is here as registries have it: then it is pushed, as docker
 * does with an image store for several platforms.
 */
export async function wholeIndex(
  { finder, content, metadata }: StoreParts,
  name: string,
): Promise<WholeIndex | undefined> {
  const entries = await finder.indexBehind(name);
  if (entries === undefined || entries.length === 0) return undefined;
  const images: ImageRecord[] = [];
  for (const { descriptor, image } of entries) {
    if (image?.manifest !== descriptor.digest) return undefined;
    for (const { digest } of image.layers)
      if (detectCompression(await content.start(digest)) === 'none') return undefined;
    images.push(image);
  }
  const bytes = await content.read((await metadata.name(name))!.target, largestDocument);
  const { mediaType } = JSON.parse(bytes.toString('utf8')) as { mediaType?: string };
  return { bytes, mediaType: mediaType ?? mediaTypes.ociIndex, images };
}
