import { WherryError } from '@wherry/base';
import type { LayerRecord } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';

/** Holds unpacked layers, bottom first, for an owner; gives their folders, topmost first. Throws `notFound`. */
export async function holdLayers(
  { content, layers, pins, holds, registrar, disk }: StoreParts,
  owner: string,
  records: readonly LayerRecord[],
): Promise<readonly string[]> {
  using _ = await pins.pin(records.flatMap(({ digest, chainId }) => [digest, chainId]));
  for (const layer of records) {
    if (await layers.has(layer.chainId)) continue;
    if ((await content.size(layer.digest)) === undefined) {
      throw new WherryError('notFound', `the layer ${layer.digest} is not here`);
    }
    await registrar.unpack(records, layer);
  }
  await disk.run();
  await holds.set(owner, { layers: records.map(({ digest, chainId }) => ({ digest, chainId })) });
  const folders = records.map(({ chainId }) => layers.folder(chainId)).reverse();
  return folders.length > 0 ? folders : [await layers.emptyFolder()];
}

/** Ends a hold, and collects what was kept for it alone. */
export async function releaseHold({ holds, metadata, garbage }: StoreParts, owner: string): Promise<void> {
  const hold = await holds.release(owner);
  if (hold === undefined) return;
  if (hold.manifest !== undefined && (await metadata.image(hold.manifest)) !== undefined) return;
  await garbage.collectOf({
    blobs: [hold.manifest, hold.config, ...hold.layers.map(({ digest }) => digest)].filter(
      (digest) => digest !== undefined,
    ),
    layers: hold.layers.map(({ chainId }) => chainId),
  });
}
