import { codeOf, WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
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
import { deepestIndexes, largestDocument, parseIndex, parseManifest } from '../content/json.ts';
import type { WrittenBlob } from '../content/written-blob.ts';
import type { ArchiveFiles } from './archive-files.ts';
import type { ArchiveContext, ArchivedImage, ArchivedPlatform } from './archived-image.ts';

/**
 * The images of an OCI layout (image-layout.md), each read when it is asked for. Of an entry that is an index, all images
 * that are in the archive stand behind its name, which means the one for this machine; or those for the platforms that are
 * asked for. Throws `corrupt`, `notFound`.
 */
export async function* readLayout(
  files: ArchiveFiles,
  list: WrittenBlob,
  context: ArchiveContext,
  parents: ReadonlyMap<string, Digest>,
): AsyncGenerator<ArchivedImage, void, undefined> {
  const { platforms, machine } = context;
  const image = async (manifest: Buffer): Promise<ArchivedPlatform & Pick<ArchivedImage, 'parent'>> => {
    const read = await readImage(files, manifest, context);
    return { ...read, parent: parents.get(parseManifest(manifest).config.digest) };
  };
  for (const entry of parseIndex(await list.read(largestDocument)).manifests) {
    const content = await verified(files, entry);
    const name = nameOf(entry);
    const names = name === undefined ? [] : [name];
    if (isIndex(entry)) {
      const { manifests, index } = await flatIndex(files, content);
      const [first, ...others] = chosen(files, manifests, platforms, machine);
      if (first === undefined) continue;
      const own = await image(await verified(files, first));
      const behind: ArchivedPlatform[] = [];
      // Without a name nothing would hold them together.
      if (name !== undefined || platforms !== undefined) {
        for (const other of others) behind.push(await readImage(files, await verified(files, other), context));
      }
      yield { ...own, names, index, behind };
    } else if (platforms === undefined || (await isFor(files, content, platforms))) {
      yield { ...(await image(content)), names };
    }
  }
}

/**
 * What an index has, with all that the indexes within it have that are in the archive. Where there are some, the index that
 * stands behind the name is one of all of them: whoever looks for a platform sees them at once. Throws `unsupported`.
 */
async function flatIndex(
  files: ArchiveFiles,
  content: Buffer,
): Promise<{ readonly manifests: readonly Descriptor[]; readonly index: Buffer }> {
  const seen = new Set<string>();
  const expand = async (document: Buffer, level: number): Promise<Descriptor[]> => {
    if (level > deepestIndexes) {
      throw new WherryError('unsupported', `more than ${deepestIndexes} image indexes within each other`);
    }
    const manifests: Descriptor[] = [];
    for (const entry of parseIndex(document).manifests) {
      if (!isIndex(entry) || !isHere(files, entry.digest)) manifests.push(entry);
      else if (!seen.has(entry.digest)) {
        seen.add(entry.digest);
        const inner = await expand(await verified(files, entry), level + 1);
        manifests.push(...inner.map((one) => ({ ...(entry.platform && { platform: entry.platform }), ...one })));
      }
    }
    return manifests;
  };
  const manifests = await expand(content, 1);
  if (seen.size === 0) return { manifests, index: content };
  const index = { ...parseIndex(content), manifests };
  return { manifests, index: Buffer.from(JSON.stringify(index)) };
}

/** Whether an archive has images for several platforms behind one name, of which docker's own list has but one. */
export async function hasSeveralPlatforms(files: ArchiveFiles, list: WrittenBlob): Promise<boolean> {
  try {
    for (const entry of parseIndex(await list.read(largestDocument)).manifests) {
      if (!isIndex(entry)) continue;
      const { manifests } = await flatIndex(files, await verified(files, entry));
      if (imagesIn(manifests).filter(({ digest }) => isHere(files, digest)).length > 1) return true;
    }
  } catch (error) {
    // Docker's list counts then, beside which this one is not looked at.
    if (!['corrupt', 'tooLarge', 'unsupported'].includes(codeOf(error)!)) throw error;
  }
  return false;
}

/** The images to take of an index, the one that its name means first. Throws `notFound` in dockerd's words. */
function chosen(
  files: ArchiveFiles,
  manifests: readonly Descriptor[],
  platforms: readonly Platform[] | undefined,
  machine: Platform,
): Descriptor[] {
  if (platforms !== undefined) return platforms.flatMap((platform) => asked(files, manifests, platform) ?? []);
  const images = imagesIn(manifests);
  const here = images.filter(({ digest }) => isHere(files, digest));
  const first = selectPlatform(here, machine) ?? here[0];
  // One that is named and lacks is told of when it is read.
  if (first === undefined) return images.slice(0, 1);
  return [first, ...here.filter((one) => one !== first)];
}

function asked(files: ArchiveFiles, manifests: readonly Descriptor[], platform: Platform): Descriptor | undefined {
  const found = selectPlatform(manifests, platform);
  if (found === undefined || isHere(files, found.digest)) return found;
  const words = `requested platform (${formatPlatform(platform)}) found, but some content is missing`;
  throw new WherryError('notFound', `${words}: content digest ${found.digest}: not found`);
}

/** The entries that are images and no attestations, each once. */
function imagesIn(manifests: readonly Descriptor[]): Descriptor[] {
  const images = manifests.filter(
    ({ platform, annotations }) =>
      platform?.os !== 'unknown' && annotations?.['vnd.docker.reference.type'] !== 'attestation-manifest',
  );
  return [...new Map(images.map((image) => [image.digest, image])).values()];
}

/** What is here already is not taken from the archive, where it may even be missing. */
async function readImage(files: ArchiveFiles, manifest: Buffer, context: ArchiveContext): Promise<ArchivedPlatform> {
  const { config, layers } = parseManifest(manifest);
  const blobs = new Map<Digest, WrittenBlob>();
  for (const { digest, size } of [config, ...layers]) {
    if (!(await context.isStored(parseDigest(digest), size))) blobs.set(parseDigest(digest), blob(files, digest));
  }
  return { manifest, blobs };
}

/** An entry may name a manifest without saying what it is for. */
async function isFor(files: ArchiveFiles, manifest: Buffer, platforms: readonly Platform[]): Promise<boolean> {
  const own = platformOf(parseConfig(await verified(files, parseManifest(manifest).config)));
  return platforms.some((platform) => suitsPlatform(own, platform));
}

function isIndex({ mediaType }: Descriptor): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList;
}

function isHere(files: ArchiveFiles, digest: string): boolean {
  return find(files, digest) !== undefined;
}

async function verified(files: ArchiveFiles, { digest }: Descriptor): Promise<Buffer> {
  const file = blob(files, digest);
  if (digest.startsWith('sha256:') && (await file.digest()) !== digest) {
    throw new WherryError('corrupt', `the archive's ${digest} does not match its digest`);
  }
  return await file.read(largestDocument);
}

function blob(files: ArchiveFiles, digest: string): WrittenBlob {
  const file = find(files, digest);
  if (!file) throw new WherryError('corrupt', `the archive lacks the blob ${digest}`);
  return file;
}

function find(files: ArchiveFiles, digest: string): WrittenBlob | undefined {
  return isDigest(digest) ? files.find(`blobs/${digest.split(':')[0]}/${hexOf(digest)}`) : undefined;
}

function nameOf({ annotations = {} }: Descriptor): string | undefined {
  const name = annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'] ?? '';
  // A bare word is a tag of no repository (annotations.md leaves its meaning open).
  return /[/:]/.test(name) ? fullName(name) : undefined;
}

function fullName(name: string): string | undefined {
  const reference = tryParseReference(name);
  return reference && formatReference(reference);
}
