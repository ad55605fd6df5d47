import { rfc3339 } from '@wherry/base';
import { digestOf } from '@wherry/oci';
import { Arrival } from '../archive/arrival.ts';
import { nameOf } from '../image-names.ts';
import type { RegisterOptions } from '../image-registrar.ts';
import type { CreateImageOptions, ImportOptions } from '../image-store.ts';
import { largestTarOf } from '../layers/unpack.ts';
import type { StoreParts } from '../store-parts.ts';
import { buildImage, type LayerSource, type WrittenLayer } from './build-image.ts';
import type { LoadedImage } from './load-archive.ts';
import { emitTags } from './tag-image.ts';

/** Makes an image and enters it under its names; see `ImageStore.createImage`. */
export async function createImage(
  { content, registrar, unsettled, limits, platform: machine }: StoreParts,
  { references = [], platform = machine, isTagged = false, ...image }: CreateImageOptions<LayerSource | WrittenLayer>,
  { isDoubtful = false, signal }: Pick<RegisterOptions, 'isDoubtful' | 'signal'> = {},
): Promise<LoadedImage> {
  const names = references.map((reference) => nameOf(reference));
  const built = await buildImage(content, { ...image, platform }, largestTarOf(limits));
  try {
    using _arrival = isDoubtful ? await unsettled.begin(digestOf(built.manifest)) : undefined;
    const { id } = await registrar.registerWritten(built.manifest, built.blobs, names, {
      isTagged,
      isDoubtful,
      signal,
    });
    return { id, names };
  } finally {
    for (const ingest of built.blobs.values()) await ingest[Symbol.asyncDispose]();
  }
}

/** Makes an image of a root file system; see `ImageStore.importImage`. */
export async function importImage(
  parts: StoreParts,
  tar: AsyncIterable<Uint8Array>,
  { config = {}, references = [], platform, message, signal }: ImportOptions,
): Promise<LoadedImage> {
  const created = rfc3339(parts.clock.now());
  const history = message === undefined ? {} : { history: [{ created, comment: message }] };
  // A name that is none is told of before anything is read.
  for (const reference of references) nameOf(reference);
  const largest = largestTarOf(parts.limits);
  await using arrival = await Arrival.receive(parts, tar, { kind: 'layer', largest, unpacks: true, signal });
  const image = await createImage(
    parts,
    {
      config: { created, ...history, ...config },
      layers: [{ written: arrival.file(arrival.members[0]!) }],
      references,
      platform,
      isTagged: true,
    },
    { isDoubtful: true, signal },
  );
  const labels = config.config?.Labels ?? {};
  emitTags(parts, { id: image.id, labels }, image.names);
  parts.events.emit({ action: 'import', id: image.id, name: image.id, attributes: labels });
  return image;
}
