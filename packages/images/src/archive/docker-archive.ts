import { codeOf, decodeGo, type GoType, goString, goStrings, parseGoJson, WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  formatReference,
  type ImageConfig,
  isDigest,
  type Manifest,
  mediaTypes,
  parseReference,
  platformOf,
  suitsPlatform,
} from '@wherry/oci';
import { detectCompression } from '../content/compression.ts';
import { parseConfig, parseRawConfig } from '../content/image-config.ts';
import { largestDocument } from '../content/json.ts';
import type { WrittenBlob } from '../content/written-blob.ts';
import { chainIds } from '../layers/layer-store.ts';
import type { ArchiveFiles } from './archive-files.ts';
import type { ArchiveContext, ArchivedImage } from './archived-image.ts';

interface Entry {
  readonly Config?: string;
  readonly RepoTags?: readonly string[];
  readonly Layers?: readonly string[];
  readonly Parent?: string;
}

const entryType: GoType = {
  kind: 'struct',
  type: 'tarexport.manifestItem',
  fields: { Config: goString, RepoTags: goStrings, Layers: goStrings, Parent: goString, LayerSources: { kind: 'any' } },
};
const listType: GoType = { kind: 'list', type: '[]tarexport.manifestItem', of: entryType };

/** Which images a list says others were made from, by the ID of these. A list that is none says nothing. */
export async function parentsIn(files: ArchiveFiles, list: WrittenBlob): Promise<ReadonlyMap<string, Digest>> {
  const parents = new Map<string, Digest>();
  try {
    for (const { Config = '', Parent = '' } of await entriesOf(list)) {
      const config = isDigest(Parent) ? files.find(Config) : undefined;
      if (config) parents.set(await config.digest(), Parent as Digest);
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
  }
  return parents;
}

async function entriesOf(list: WrittenBlob): Promise<readonly Entry[]> {
  const entries = decodeGo(parseGoJson((await list.read(largestDocument)).toString(), 'stream'), listType);
  if (entries === undefined) {
    throw new WherryError('corrupt', 'invalid manifest, manifest cannot be null (but can be [])');
  }
  return entries as Entry[];
}

/** The images of what `docker save` writes, each read when it is asked for. Throws `corrupt` in dockerd's words. */
export async function* readDockerArchive(
  files: ArchiveFiles,
  list: WrittenBlob,
  context: ArchiveContext,
): AsyncGenerator<ArchivedImage, void, undefined> {
  for (const entry of await entriesOf(list)) {
    const image = await readEntry(files, entry, context);
    if (image !== undefined) yield image;
  }
}

async function readEntry(
  files: ArchiveFiles,
  { Config = '', RepoTags = [], Layers = [], Parent = '' }: Entry,
  context: ArchiveContext,
): Promise<ArchivedImage | undefined> {
  const file = files.require(Config);
  const config = configOf(await file.read(largestDocument), Layers.length);
  const { platforms } = context;
  if (platforms && !platforms.some((platform) => suitsPlatform(platformOf(config), platform))) return undefined;
  const id = await file.digest();
  const blobs = new Map<Digest, WrittenBlob>([[id, file]]);
  const diffIds = config.rootfs.diff_ids as readonly Digest[];
  const layers: Descriptor[] = [];
  for (const [index, chainId] of chainIds(diffIds).entries()) {
    // What is here already is not looked at in the archive, where it may even be missing.
    files.checkPath(Layers[index]!);
    const stored = await context.stored(chainId);
    layers.push(stored ?? (await layerOf(files, Layers[index]!, blobs, context)));
  }
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.dockerManifest,
    config: { mediaType: mediaTypes.dockerConfig, digest: id, size: file.size },
    layers,
  };
  return {
    manifest: Buffer.from(JSON.stringify(manifest)),
    blobs,
    names: RepoTags.map(nameToGive),
    parent: isDigest(Parent) ? Parent : undefined,
  };
}

/** Checked before anything is unpacked, as dockerd does and in its words. */
function configOf(content: Buffer, layers: number): ImageConfig {
  const { rootfs, os } = parseRawConfig(content);
  if (rootfs === undefined || rootfs === null) throw new WherryError('corrupt', 'invalid image JSON, no RootFS key');
  checkSystem(os);
  const { diff_ids: ids } = rootfs as { diff_ids?: readonly string[] | null };
  const expected = ids?.length ?? 0;
  if (expected !== layers) {
    throw new WherryError('corrupt', `invalid manifest, layers length mismatch: expected ${layers}, got ${expected}`);
  }
  return parseConfig(content);
}

/** Throws `corrupt` for an image of another system than this one. */
export function checkSystem(os: unknown): void {
  if (typeof os !== 'string' || os === '' || os === 'linux') return;
  throw new WherryError('corrupt', `cannot load ${os} image on linux`);
}

async function layerOf(
  files: ArchiveFiles,
  path: string,
  blobs: Map<Digest, WrittenBlob>,
  context: ArchiveContext,
): Promise<Descriptor> {
  const file = await storable(files, files.require(path), context);
  const digest = await file.digest();
  blobs.set(digest, file);
  return { mediaType: layerType(await file.start()), digest, size: file.size };
}

/** A layer in a form that registries know. */
export async function storable(files: ArchiveFiles, file: WrittenBlob, context: ArchiveContext): Promise<WrittenBlob> {
  const compression = detectCompression(await file.start());
  return compression === 'bzip2' || compression === 'xz' ? await files.plain(file, context.largestLayer) : file;
}

/** The media type of a stored layer, by its first bytes. */
export function layerType(start: Uint8Array): string {
  const compression = detectCompression(start);
  if (compression === 'zstd') return mediaTypes.ociLayerZstd;
  return compression === 'gzip' ? mediaTypes.dockerLayerGzip : mediaTypes.dockerLayer;
}

/** The full reference of a name with a tag. Throws `invalid`. */
function nameToGive(name: string): string {
  const reference = parseReference(name);
  if (reference.digest !== undefined || !name.endsWith(`:${reference.tag}`)) {
    throw new WherryError('invalid', `invalid tag ${JSON.stringify(name)}`);
  }
  return formatReference(reference);
}
