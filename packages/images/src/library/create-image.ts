import { rfc3339 } from '@wherry/base';
import { nameOf } from '../image-names.ts';
import type { CreateImageOptions, ImportOptions } from '../image-store.ts';
import { largestTarOf } from '../layers/unpack.ts';
import type { StoreParts } from '../store-parts.ts';
import { buildImage } from './build-image.ts';
import type { LoadedImage } from './load-archive.ts';
import { emitTags } from './tag-image.ts';

/** Makes an image and enters it under its names; see `ImageStore.createImage`. */
export async function createImage(
  { content, registrar, limits, platform: machine }: StoreParts,
  { references = [], platform = machine, isTagged = false, ...image }: CreateImageOptions,
): Promise<LoadedImage> {
  const names = references.map((reference) => nameOf(reference));
  const built = await buildImage(content, { ...image, platform }, largestTarOf(limits));
  try {
    const { id } = await registrar.registerWritten(built.manifest, built.blobs, names, { isTagged });
    return { id, names };
  } finally {
    for (const ingest of built.blobs.values()) await ingest[Symbol.asyncDispose]();
  }
}

/** Makes an image of a root file system; see `ImageStore.importImage`. */
export async function importImage(
  parts: StoreParts,
  tar: AsyncIterable<Uint8Array>,
  { config = {}, references, platform, message }: ImportOptions,
): Promise<LoadedImage> {
  const created = rfc3339(parts.clock.now());
  const history = message === undefined ? {} : { history: [{ created, comment: message }] };
  const image = await createImage(parts, {
    config: { created, ...history, ...config },
    layers: [{ tar }],
    references,
    platform,
    isTagged: true,
  });
  const labels = config.config?.Labels ?? {};
  emitTags(parts, { id: image.id, labels }, image.names);
  parts.events.emit({ action: 'import', id: image.id, name: image.id, attributes: labels });
  return image;
}
