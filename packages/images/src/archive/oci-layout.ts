import { WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  formatReference,
  hexOf,
  isDigest,
  mediaTypes,
  type Platform,
  parseDigest,
  platformOf,
  selectPlatform,
  suitsPlatform,
  tryParseReference,
} from '@wherry/oci';
import { parseConfig } from '../content/image-config.ts';
import type { Ingest } from '../content/ingest.ts';
import { largestDocument, parseIndex, parseManifest } from '../content/json.ts';
import type { ArchiveFiles } from './archive-files.ts';
import type { ArchivedImage } from './archived-image.ts';

/**
 * The images of an OCI layout (image-layout.md) for a platform, each read when it is asked for. `isChosen`: those without
 * it are passed over, which otherwise are an error. Throws `corrupt`, `notFound`.
 */
export async function* readLayout(
  files: ArchiveFiles,
  list: Ingest,
  platform: Platform,
  isChosen: boolean,
): AsyncGenerator<ArchivedImage, void, undefined> {
  for (const entry of parseIndex(await list.read(largestDocument)).manifests) {
    const found = await document(files, entry, platform);
    if (found === undefined && isChosen) continue;
    if (found === undefined) throw new WherryError('notFound', 'no match for platform in manifest: not found');
    const { manifest, index } = found;
    const { config, layers } = parseManifest(manifest);
    if (isChosen && !(await isFor(files, config, platform))) continue;
    const blobs = new Map<Digest, Ingest>();
    for (const { digest } of [config, ...layers]) blobs.set(parseDigest(digest), blob(files, digest));
    const { annotations = {} } = entry;
    const name = annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'] ?? '';
    // A bare word is a tag of no repository (annotations.md leaves its meaning open).
    const full = /[/:]/.test(name) ? fullName(name) : undefined;
    yield { manifest, blobs, names: full === undefined ? [] : [full], index };
  }
}

/** An entry may name a manifest without saying what it is for. */
async function isFor(files: ArchiveFiles, config: Descriptor, platform: Platform): Promise<boolean> {
  return suitsPlatform(platformOf(parseConfig(await verified(files, config))), platform);
}

/** The manifest that an entry of a layout's index leads to, by way of another index; `undefined` where it has none for the platform. */
async function document(
  files: ArchiveFiles,
  entry: Descriptor,
  platform: Platform,
): Promise<{ readonly manifest: Buffer; readonly index?: Buffer } | undefined> {
  const content = await verified(files, entry);
  if (entry.mediaType !== mediaTypes.ociIndex && entry.mediaType !== mediaTypes.dockerList)
    return { manifest: content };
  const chosen = selectPlatform(parseIndex(content).manifests, platform);
  if (!chosen) return undefined;
  // One level: an index of indexes would be a way to make the reader run in circles.
  if (chosen.mediaType === mediaTypes.ociIndex || chosen.mediaType === mediaTypes.dockerList)
    throw new WherryError('unsupported', 'an image index within an image index');
  return { manifest: await verified(files, chosen), index: content };
}

async function verified(files: ArchiveFiles, { digest }: Descriptor): Promise<Buffer> {
  const file = blob(files, digest);
  if (digest.startsWith('sha256:') && (await file.digest()) !== digest) {
    throw new WherryError('corrupt', `the archive's ${digest} does not match its digest`);
  }
  return await file.read(largestDocument);
}

function blob(files: ArchiveFiles, digest: string): Ingest {
  const file = isDigest(digest) ? files.find(`blobs/${digest.split(':')[0]}/${hexOf(digest)}`) : undefined;
  if (!file) throw new WherryError('corrupt', `the archive lacks the blob ${digest}`);
  return file;
}

function fullName(name: string): string | undefined {
  const reference = tryParseReference(name);
  return reference && formatReference(reference);
}
