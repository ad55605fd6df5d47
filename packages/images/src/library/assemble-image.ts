import { WherryError } from '@wherry/base';
import { type Digest, type ImageConfig, type Manifest, mediaTypes } from '@wherry/oci';
import { layerType } from '../archive/docker-archive.ts';
import type { Ingest } from '../content/ingest.ts';
import type { AssembleImage } from '../image-library.ts';
import { nameOf } from '../image-names.ts';
import type { StoreParts } from '../store-parts.ts';
import { emitTags } from './tag-image.ts';

/** Enters an image made of layers that are here; see `ImageLibrary.assemble`. */
export async function assembleImage(
  parts: StoreParts,
  { config, layers, parent, references = [], onId }: AssembleImage,
): Promise<{ readonly id: Digest; readonly manifest: Digest }> {
  const { content, pins, registrar } = parts;
  const names = references.map(nameOf);
  using _ = await pins.pin(layers.flatMap(({ digest, chainId }) => [digest, chainId]));
  const descriptors: { mediaType: string; digest: string; size: number }[] = [];
  for (const { digest, size } of layers) {
    if ((await content.size(digest)) !== size) throw new WherryError('notFound', `the layer ${digest} is not here`);
    descriptors.push({ mediaType: layerType(await content.start(digest)), size, digest });
  }
  const diffIds = layers.map(({ diffId }) => diffId);
  const whole: ImageConfig = { ...config, rootfs: { type: 'layers', diff_ids: diffIds } };
  await using ingest: Ingest = await content.ingest();
  await ingest.write(Buffer.from(JSON.stringify(whole)));
  const id = await ingest.digest();
  onId?.(id);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.dockerManifest,
    config: { mediaType: mediaTypes.dockerConfig, size: ingest.size, digest: id },
    layers: descriptors,
  };
  // As docker writes it: of an image without layers it is pushed as it stands.
  const text = JSON.stringify(manifest, undefined, 3);
  const image = await registrar.registerWritten(Buffer.from(text), new Map([[id, ingest]]), names, {
    parent,
    isTagged: true,
  });
  emitTags(parts, image, names);
  return { id: image.id, manifest: image.manifest };
}
