import { noSuchImage } from '../image-finder.ts';
import { familiarName, nameOf } from '../image-names.ts';
import type { ImageRecord } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';

/** Gives an image another name, which stands for the same index where the first does. Throws `notFound`, `invalid`. */
export async function tagImage(parts: StoreParts, reference: string, name: string): Promise<void> {
  const full = nameOf(name);
  const { image, name: first = '' } = await parts.finder.require(reference);
  // A name that is given here lasts, and so does what it names.
  await parts.unsettled.settled([image.manifest]);
  await parts.metadata.update((state) => {
    // Removed since it was found.
    if (!state.images.has(image.manifest)) throw noSuchImage(reference);
    const tagged = { tagged: image.id, at: parts.clock.now() };
    const { manifest, target } = state.names.get(first) ?? {};
    const to = { manifest: image.manifest, target: (manifest === image.manifest && target) || image.manifest };
    const now = state.names.get(full);
    if (now?.target === to.target && now.manifest === to.manifest) {
      // The name means the image already, as after a cached build: a newer time alone is not worth a sync.
      state.apply(tagged);
      return [];
    }
    return [{ name: full, to }, tagged];
  });
  emitTags(parts, image, [full]);
}

export function emitTags(
  { events }: StoreParts,
  { id, labels }: { readonly id: string; readonly labels?: ImageRecord['labels'] },
  names: readonly string[],
): void {
  for (const name of names) events.emit({ action: 'tag', id, name: familiarName(name), attributes: labels });
}
