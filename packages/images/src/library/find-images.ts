import { codeOf, messageOf } from '@wherry/base';
import type { Digest, Manifest } from '@wherry/oci';
import { largestDocument, parseManifest } from '../content/json.ts';
import type { StoreParts } from '../store-parts.ts';

/**
 * After what was known of images could not all be read, before anything is done: enters the images whose blobs are all
 * here, without names, so that nothing of them is collected. `unreadable`: where the file is now.
 */
export async function findImages(parts: StoreParts, unreadable: string): Promise<void> {
  const { content, metadata, registrar, pins, log } = parts;
  const blobs = await content.list();
  const state = await metadata.state();
  const ids: Digest[] = [];
  using _ = await pins.pin(blobs);
  for (const digest of blobs) {
    if (state.images.has(digest)) continue;
    const manifest = await manifestOf(parts, digest);
    if (manifest === undefined || !isWhole(manifest, new Set(blobs))) continue;
    try {
      ids.push((await registrar.register(digest, [])).id);
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      log.warn('an image cannot be made of what is left of it', { manifest: digest, error: messageOf(error) });
    }
  }
  const todo = 'names that are missing can be given again with `docker tag`';
  log.warn('the index of images could not be read and is made anew', { unreadable, found: ids, todo });
}

async function manifestOf({ content }: StoreParts, digest: Digest): Promise<Manifest | undefined> {
  try {
    if (((await content.size(digest)) ?? 0) > largestDocument) return undefined;
    return parseManifest(await content.read(digest, largestDocument));
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}

function isWhole({ config, layers }: Manifest, blobs: ReadonlySet<string>): boolean {
  return [config, ...layers].every(({ digest }) => blobs.has(digest));
}
