import { noSuchImage } from '../image-finder.ts';
import type { ImageRecord, LayerRecord } from '../metadata.ts';
import type { Rootfs } from '../rootfs.ts';
import type { StoreParts } from '../store-parts.ts';

/** Holds an image for an owner, and gives what a container of it needs; see `RootfsSource.rootfs`. */
export async function imageRootfs(parts: StoreParts, reference: string, owner: string): Promise<Rootfs> {
  const { finder, pins, metadata, layers, holds } = parts;
  const { image } = await finder.require(reference);
  const chain = image.layers.map((layer) => layer.chainId);
  using _ = await pins.pin([image.manifest, image.id, ...image.layers.map(({ digest }) => digest), ...chain]);
  // What was found may have been removed while the pin waited for a collection.
  if ((await metadata.image(image.manifest)) === undefined) throw noSuchImage(reference);
  const config = await finder.config(image);
  await unpackMissing(parts, image);
  const records = image.layers.map(({ digest, chainId }) => ({ digest, chainId }));
  await holds.set(owner, { manifest: image.manifest, config: image.id, layers: records });
  const folders = chain.map((chainId) => layers.folder(chainId)).reverse();
  const lowerDirectories = folders.length > 0 ? folders : [await layers.emptyFolder()];
  return { imageId: image.id, config, lowerDirectories };
}

/** Unpacks layers that are not, as after a power cut. */
async function unpackMissing({ layers, registrar, unsettled }: StoreParts, image: ImageRecord): Promise<void> {
  const missing: LayerRecord[] = [];
  for (const layer of image.layers) if (!(await layers.has(layer.chainId))) missing.push(layer);
  if (missing.length === 0) return;
  using _arrival = await unsettled.begin(image.manifest);
  for (const layer of missing) await registrar.unpack(image.layers, layer);
}
