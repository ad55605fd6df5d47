import { WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  digestOf,
  familiarReference,
  familiarRepository,
  hashFor,
  hexOf,
  isDigest,
  type Manifest,
  mediaTypes,
  type Platform,
  parseReference,
  platformOf,
  repositoryOf,
  tryParseReference,
} from '@wherry/oci';
import { decompressed, detectCompression } from '../content/compression.ts';
import { largestDocument } from '../content/json.ts';
import { type FoundImage, type ImageFinder, type IndexedImage, noSuchImage, noSuchPlatform } from '../image-finder.ts';
import { hasDigest } from '../image-names.ts';
import type { ImageRecord, LayerRecord } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';
import { type TarInput, writeTar } from '../tar/tar-writer.ts';

interface SavedImage {
  readonly image: ImageRecord;
  /** Full references, each with the images that its index has here where it stands for several. */
  readonly names: Map<string, readonly IndexedImage[]>;
}

interface Blob {
  readonly size: number;
  readonly body: () => AsyncIterable<Uint8Array>;
}

/** Writes images as docker's archive that is an OCI layout, too; see `ImageLibrary.save`. Layers are plain. */
export async function* saveArchive(
  parts: StoreParts,
  references: readonly string[],
  platform?: Platform,
): AsyncGenerator<Uint8Array, void, undefined> {
  const images = await chooseImages(parts, references, platform);
  const all = images.flatMap(({ image, names }) => [
    image,
    ...[...names.values()].flatMap((behind) => behind.flatMap((one) => one.image ?? [])),
  ]);
  using _ = await parts.pins.pin(
    all.flatMap(({ id, manifest, layers }) => [id, manifest, ...layers.map(({ digest }) => digest)]),
  );
  for (const image of all) {
    // What was found may have been removed while the pin waited for a collection.
    if ((await parts.metadata.image(image.manifest)) === undefined) throw noSuchImage(image.id);
  }
  const blobs = new Map<Digest, Blob>();
  const list: object[] = [];
  const index: Descriptor[] = [];
  const repositories: Record<string, Record<string, string>> = {};
  for (const { image, names } of images) {
    const { descriptor, layers } = await addImage(parts, image, blobs);
    addLegacyConfigs(image, blobs);
    const tags = [...names.keys()].map((name) => parseReference(name));
    if (names.size === 0) index.push(descriptor);
    for (const [name, behind] of names) {
      const target = behind.length > 1 ? await addIndex(parts, behind, blobs) : descriptor;
      index.push({ ...target, annotations: namesOf(parseReference(name)) });
    }
    const top = image.layers.at(-1)?.diffId;
    for (const tag of top ? tags : []) {
      const repository = familiarRepository(tag);
      repositories[repository] = { ...repositories[repository], [tag.tag!]: hexOf(top!) };
    }
    list.push({
      Config: blobPath(image.id),
      RepoTags: tags.length === 0 ? null : tags.map((tag) => familiarReference(tag)),
      Layers: layers.map(({ digest }) => blobPath(digest as Digest)),
      Parent: images.some((other) => other.image.id === image.parent) ? image.parent : undefined,
      LayerSources: sorted(Object.fromEntries(layers.map((layer) => [layer.digest, layer]))),
    });
  }
  const time = Math.max(0, ...images.map(({ image }) => Math.floor((image.createdAt ?? 0) / 1000)));
  yield* writeTar(members(blobs, { index, list, repositories }, time));
  for (const { image } of images)
    parts.events.emit({ action: 'save', id: image.id, name: image.id, attributes: image.labels });
}

async function chooseImages(
  { finder, metadata }: StoreParts,
  references: readonly string[],
  platform: Platform | undefined,
): Promise<SavedImage[]> {
  const chosen = new Map<Digest, SavedImage>();
  const state = await metadata.state();
  for (const reference of references) {
    const named = isDigest(reference) ? undefined : tryParseReference(reference);
    const isBare = named?.tag === 'latest' && !reference.endsWith(':latest');
    // Without a tag all tags of the repository are meant.
    const tags = isBare
      ? [...state.names.keys()].filter(
          (name) => !hasDigest(name) && repositoryOf(parseReference(name)) === repositoryOf(named),
        )
      : [];
    if (tags.length > 0) {
      for (const name of tags) {
        const image = state.images.get(state.names.get(name)!.manifest)!;
        const behind = await imagesBehind(finder, name, platform);
        choose(chosen, await imageFor(finder, { image, name }, platform), name, behind);
      }
      continue;
    }
    const found = await finder.find(reference);
    // dockerd repeats what it was asked for here, and says of a tag only that it is not there.
    if (!found)
      throw new WherryError(
        'notFound',
        isBare || !named || /^sha256:[0-9a-f]+$/.test(reference)
          ? `No such image: ${reference}`
          : 'reference does not exist',
      );
    const name = found.name !== undefined && !hasDigest(found.name) ? found.name : undefined;
    const behind = await imagesBehind(finder, name, platform);
    choose(chosen, await imageFor(finder, found, platform), name, behind);
  }
  return [...chosen.values()];
}

async function imageFor(finder: ImageFinder, found: FoundImage, platform: Platform | undefined): Promise<ImageRecord> {
  const image = await finder.forPlatform(found, platform);
  if (image === undefined) throw noSuchPlatform(found.image.id, platform!);
  return image;
}

/** Where none is asked for, the images that a name has for all platforms. */
async function imagesBehind(
  finder: ImageFinder,
  name: string | undefined,
  platform: Platform | undefined,
): Promise<readonly IndexedImage[]> {
  if (name === undefined || platform !== undefined) return [];
  return ((await finder.indexBehind(name)) ?? []).filter(({ image }) => image !== undefined);
}

function choose(
  chosen: Map<Digest, SavedImage>,
  image: ImageRecord,
  name: string | undefined,
  behind: readonly IndexedImage[],
): void {
  const saved = chosen.get(image.id) ?? { image, names: new Map<string, readonly IndexedImage[]>() };
  if (name !== undefined) saved.names.set(name, behind);
  chosen.set(image.id, saved);
}

/** The manifest of an image whose layers are plain. */
async function addImage(
  parts: StoreParts,
  image: ImageRecord,
  blobs: Map<Digest, Blob>,
): Promise<{ readonly descriptor: Descriptor; readonly layers: readonly Descriptor[] }> {
  const layers = await addLayers(parts, image, blobs);
  const content = await parts.content.read(image.id, largestDocument);
  const config = { ...add(blobs, mediaTypes.ociConfig, content), digest: image.id };
  const manifest: Manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers };
  return { descriptor: add(blobs, mediaTypes.ociManifest, Buffer.from(JSON.stringify(manifest))), layers };
}

/** An index of the images that are here of one. */
async function addIndex(
  parts: StoreParts,
  behind: readonly IndexedImage[],
  blobs: Map<Digest, Blob>,
): Promise<Descriptor> {
  const manifests: Descriptor[] = [];
  for (const { descriptor, image } of behind) {
    const platform = descriptor.platform ?? platformOf(await parts.finder.config(image!));
    manifests.push({ ...(await addImage(parts, image!, blobs)).descriptor, platform });
  }
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  return add(blobs, mediaTypes.ociIndex, Buffer.from(JSON.stringify(index)));
}

async function addLayers(parts: StoreParts, image: ImageRecord, blobs: Map<Digest, Blob>): Promise<Descriptor[]> {
  const layers: Descriptor[] = [];
  for (const layer of image.layers) {
    const size = blobs.get(layer.diffId)?.size ?? (await plainSize(parts, layer));
    blobs.set(layer.diffId, { size, body: () => plainContent(parts, layer) });
    layers.push({ mediaType: mediaTypes.ociLayer, size, digest: layer.diffId });
  }
  return layers;
}

/** The plain length stands in a tar before the content; where nobody wrote it down it is counted. */
async function plainSize(parts: StoreParts, layer: LayerRecord): Promise<number> {
  if (detectCompression(await parts.content.start(layer.digest)) === 'none') return layer.size;
  const known = (await parts.layers.facts(layer.chainId))?.tarBytes;
  if (known !== undefined) return known;
  let size = 0;
  for await (const chunk of decompressed(parts.content.stream(layer.digest))) size += chunk.length;
  return size;
}

async function* plainContent({ content }: StoreParts, { digest, diffId }: LayerRecord): AsyncGenerator<Uint8Array> {
  const hash = hashFor(diffId);
  for await (const chunk of decompressed(content.stream(digest))) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest('hex') !== hexOf(diffId)) {
    throw new WherryError('corrupt', `the stored layer ${digest} does not match its diff id ${diffId}`);
  }
}

/** What docker before 1.10 read for each layer, and docker still writes. */
function addLegacyConfigs(image: ImageRecord, blobs: Map<Digest, Blob>): void {
  let parent: string | undefined;
  for (const { chainId } of image.layers) {
    const id = hexOf(digestOf(`${chainId} ${parent ?? ''}`));
    const config = { id, ...(parent && { parent }), created: '1970-01-01T00:00:00Z', os: 'linux' };
    add(blobs, '', Buffer.from(JSON.stringify(config)));
    parent = id;
  }
}

function add(blobs: Map<Digest, Blob>, mediaType: string, content: Buffer): Descriptor {
  const digest = digestOf(content);
  blobs.set(digest, { size: content.length, body: () => single(content) });
  return { mediaType, digest, size: content.length };
}

async function* single(content: Buffer): AsyncGenerator<Uint8Array> {
  yield content;
}

function namesOf(tag: ReturnType<typeof parseReference>): Record<string, string> {
  return {
    'io.containerd.image.name': `${repositoryOf(tag)}:${tag.tag}`,
    'org.opencontainers.image.ref.name': tag.tag!,
  };
}

function blobPath(digest: Digest): string {
  return `blobs/${digest.startsWith('sha512:') ? 'sha512' : 'sha256'}/${hexOf(digest)}`;
}

/** Go writes maps in the order of their keys. */
function sorted<T extends object>(map: T): T {
  return Object.fromEntries(Object.entries(map).sort(([one], [other]) => (one < other ? -1 : 1))) as T;
}

function* members(
  blobs: ReadonlyMap<Digest, Blob>,
  { index, list, repositories }: { index: readonly Descriptor[]; list: readonly object[]; repositories: object },
  mtime: number,
): Generator<TarInput> {
  // Two of them end with a line's end in docker's archives, as Go's encoder writes them.
  const file = (name: string, value: unknown, end = ''): TarInput => ({
    name,
    type: 'file',
    mode: 0o644,
    mtime,
    content: Buffer.from(JSON.stringify(value) + end),
  });
  const paths = [...blobs].map(([digest, blob]) => [blobPath(digest), blob] as const);
  yield { name: 'blobs', type: 'directory', mode: 0o755, mtime };
  for (const folder of new Set(paths.map(([path]) => path.slice(0, path.lastIndexOf('/'))))) {
    yield { name: folder, type: 'directory', mode: 0o755, mtime };
  }
  for (const [name, { size, body }] of paths.sort(([one], [other]) => (one < other ? -1 : 1))) {
    const content = { size, body: { [Symbol.asyncIterator]: () => body()[Symbol.asyncIterator]() } };
    yield { name, type: 'file', mode: 0o644, mtime, content };
  }
  yield file('index.json', { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: index });
  yield file('manifest.json', list, '\n');
  // As docker writes it, to the byte.
  yield { ...file('oci-layout', null), content: Buffer.from('{"imageLayoutVersion": "1.0.0"}') };
  if (Object.keys(repositories).length > 0) yield file('repositories', sorted(repositories), '\n');
}
