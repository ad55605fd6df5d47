import { rm } from 'node:fs/promises';
import { codeOf, messageOf, Semaphore, WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  digestOf,
  familiarReference,
  familiarRepository,
  formatReference,
  type Manifest,
  mediaTypes,
  parseReference,
  type Reference,
  repositoryOf,
} from '@wherry/oci';
import { detectCompression } from '../../content/compression.ts';
import { GrowingFile } from '../../content/growing-file.ts';
import { largestDocument, parseManifest } from '../../content/json.ts';
import { noSuchPlatform } from '../../image-finder.ts';
import type { PushedTag, PushOptions, PushProgress } from '../../image-library.ts';
import { hasDigest, repositoryOfName } from '../../image-names.ts';
import type { CompressedLayer, ImageRecord, LayerRecord } from '../../metadata.ts';
import type { StoreParts } from '../../store-parts.ts';
import { labelsOf } from '../event-labels.ts';
import { endpointOf } from '../transport/endpoint.ts';
import { RegistryTransport } from '../transport/registry-transport.ts';
import { type Upload, Uploader } from './uploader.ts';
import { wholeIndex } from './whole-index.ts';

/** Layers sent at a time, as dockerd does. */
const parallelLayers = 5;
/** Bytes of what is compressed meanwhile that are sent at a time. */
const pieceSize = 512 * 1024;
/** Repositories of the same registry that are asked for a blob before it is sent. */
const mostSources = 3;

interface PushContext extends PushOptions {
  readonly parts: StoreParts;
  readonly signal: AbortSignal;
  readonly transport: RegistryTransport;
  readonly uploader: Uploader;
  readonly repository: string;
}

/** Pushes a tag, or all tags of a repository; see `ImageLibrary.push`. Errors are worded as dockerd's. */
export async function push(
  parts: StoreParts,
  reference: string,
  options: PushOptions & { readonly signal: AbortSignal },
): Promise<PushedTag[]> {
  const named = parseReference(reference);
  const repository = repositoryOf(named);
  await requireNames(parts, named);
  const { auth, signal } = options;
  const endpoint = await endpointOf(named.host, parts.registries);
  using transport = new RegistryTransport({
    reference: named,
    endpoint,
    auth,
    clock: parts.clock,
    signal,
    dialect: 'docker',
  });
  const context: PushContext = { ...options, parts, transport, uploader: new Uploader(transport), repository };
  try {
    await transport.base();
    const pushed: PushedTag[] = [];
    for (const name of await namesToPush(parts, named, options.allTags ?? false)) {
      const tag = await pushTag(context, name);
      options.onPushed?.(tag);
      pushed.push(tag);
    }
    const name = familiarRepository(named);
    const id = options.allTags ? name : familiarReference(named);
    parts.events.emit({ action: 'push', id, name, attributes: await labelsOf(parts, id) });
    return pushed;
  } catch (error) {
    throw asDockerd(error);
  }
}

/** Before the registry is asked. */
async function requireNames({ metadata }: StoreParts, named: Reference): Promise<void> {
  if (named.digest !== undefined) throw new WherryError('invalid', 'cannot push a digest reference');
  const { names } = await metadata.state();
  const repository = repositoryOf(named);
  if ([...names.keys()].some((name) => repositoryOfName(name) === repository)) return;
  throw new WherryError('notFound', `An image does not exist locally with the tag: ${familiarRepository(named)}`);
}

async function namesToPush({ metadata }: StoreParts, named: Reference, allTags: boolean): Promise<string[]> {
  const { names } = await metadata.state();
  const repository = repositoryOf(named);
  const found = allTags
    ? [...names.keys()].filter((name) => !hasDigest(name) && repositoryOfName(name) === repository).sort()
    : [formatReference(named)].filter((name) => names.has(name));
  if (found.length > 0) return found;
  const words = allTags
    ? `no tags to push for ${familiarRepository(named)}`
    : `tag does not exist: ${familiarReference(named)}`;
  throw new WherryError('notFound', words);
}

async function pushTag(context: PushContext, name: string): Promise<PushedTag> {
  const { parts, uploader, repository, platform } = context;
  const { metadata, content, pins, finder } = parts;
  const state = await metadata.state();
  const record = state.names.get(name);
  const named = record && state.images.get(record.manifest);
  if (!named) throw new WherryError('notFound', `No such image: ${name}`);
  const image = await finder.forPlatform({ image: named, name }, platform);
  if (!image) throw noSuchPlatform(name, platform!);
  const index = platform === undefined ? await wholeIndex(parts, name) : undefined;
  const images = index?.images ?? [image];
  const needed = images.flatMap(({ manifest, id, layers }) => [manifest, id, ...layers.map(({ digest }) => digest)]);
  using _ = await pins.pin([...needed, record.target]);
  const sent: SentImage[] = [];
  for (const one of images) sent.push(await sendImage(context, one));
  for (const [at, { bytes, mediaType }] of index ? sent.entries() : [])
    await uploader.manifest(bytes, mediaType, images[at]!.manifest);
  const { bytes, mediaType } = index ?? sent[0]!;
  const { tag } = parseReference(name);
  await uploader.manifest(bytes, mediaType, tag!);
  const digest = digestOf(bytes);
  using _digest = await pins.pin([digest]);
  await content.write(bytes);
  await metadata.update(({ images: known }) => {
    if (!known.has(image.manifest)) return [];
    return [
      { name: `${repository}@${digest}`, to: { manifest: image.manifest, target: digest } },
      ...sent.flatMap(({ blobs }) => blobs.map((blob) => ({ blob, in: repository }))),
    ];
  });
  return { tag: tag!, digest, size: bytes.length };
}

interface SentImage {
  /** The manifest of what the registry has now. */
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly blobs: readonly Digest[];
}

/** Sees to it that the registry has the parts of an image. */
async function sendImage(context: PushContext, image: ImageRecord): Promise<SentImage> {
  const { parts, onProgress = () => undefined } = context;
  const { content } = parts;
  const stored = parseManifest(await content.read(image.manifest, largestDocument));
  // Topmost first, as dockerd lists them.
  const layers = [...image.layers].reverse();
  for (const { diffId } of layers) onProgress({ digest: diffId, phase: 'preparing' });
  const slots = new Semaphore(parallelLayers);
  const sent = new Map<Digest, Promise<CompressedLayer>>();
  for (const layer of layers) {
    if (sent.has(layer.digest)) continue;
    const work = slots.run(() => pushLayer(context, layer, onProgress));
    work.catch(() => undefined);
    sent.set(layer.digest, work);
  }
  const results = await Promise.allSettled([...sent.values(), pushConfig(context, image.id, stored.config.size)]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  const pushed: CompressedLayer[] = [];
  for (const { digest } of image.layers) pushed.push(await sent.get(digest)!);
  const blobs = [image.id, ...pushed.map((layer) => layer.digest)];
  return { ...(await manifestFor(parts, image, stored, pushed)), blobs };
}

async function pushConfig({ parts, uploader }: PushContext, id: Digest, size: number): Promise<void> {
  if (await uploader.has(id)) return;
  await uploader.upload({ digest: id, size, path: parts.content.path(id) }, undefined, () => undefined);
}

/** Sees to it that the registry has a layer, compressed where it is stored plain; gives as what. */
async function pushLayer(
  context: PushContext,
  layer: LayerRecord,
  report: (progress: PushProgress) => void,
): Promise<CompressedLayer> {
  const { parts, uploader } = context;
  const digest = layer.diffId;
  const isPlain = detectCompression(await parts.content.start(layer.digest)) === 'none';
  const known = isPlain ? (await parts.metadata.state()).compressed.get(layer.digest) : layer;
  // The compression is the same each time, so that its digest is known before it is done again.
  if (known && (await uploader.has(known.digest))) {
    report({ digest, phase: 'exists' });
    return { digest: known.digest, size: known.size };
  }
  report({ digest, phase: 'pushing', current: 0, total: layer.size });
  const { from, upload } = known ? await mount(context, known.digest) : {};
  if (known && from !== undefined) {
    report({ digest, phase: 'mounted', from });
    return { digest: known.digest, size: known.size };
  }
  const onBytes = (current: number): void => report({ digest, phase: 'pushing', current, total: layer.size });
  if (isPlain) return await sendCompressed(context, layer, upload, report);
  await uploader.upload({ ...layer, path: parts.content.path(layer.digest) }, upload, onBytes);
  report({ digest, phase: 'pushed' });
  return { digest: layer.digest, size: layer.size };
}

/** Compresses a layer that is stored plain, and sends what there is of it meanwhile. Progress is told in plain bytes. */
async function sendCompressed(
  { parts, uploader, signal }: PushContext,
  layer: LayerRecord,
  upload: Upload | undefined,
  report: (progress: PushProgress) => void,
): Promise<CompressedLayer> {
  const digest = layer.diffId;
  const blob = parts.content.path(layer.digest);
  const file = new GrowingFile(await parts.content.temporary());
  const stop = new AbortController();
  const compressing = parts.threads.run(
    'compress',
    { blob, target: file.path },
    {
      signal: AbortSignal.any([signal, stop.signal]),
      onProgress: ({ read, written }) => {
        file.grow(written);
        report({ digest, phase: 'pushing', current: read, total: layer.size });
      },
    },
  );
  const whole = compressing.then((compressed) => ({ ...compressed, path: file.path }));
  whole.then(
    () => file.end(),
    (error: unknown) => file.fail(error),
  );
  try {
    // Other layers may be compressed first, and a registry does not wait for long.
    await file.begun();
    await uploader.uploadGrowing(
      { read: () => file.read({ buffer: Buffer.allocUnsafeSlow(pieceSize) }), whole },
      upload,
      () => undefined,
    );
    const compressed = await compressing;
    await parts.metadata.update(() => [{ compressed: layer.digest, as: compressed }]);
    report({ digest, phase: 'pushed' });
    return compressed;
  } finally {
    stop.abort();
    await whole.catch(() => undefined);
    await rm(file.path, { force: true });
  }
}

/** Has the registry take a blob from another of its repositories that is known to have it. */
async function mount(
  { parts, uploader, transport, repository }: PushContext,
  blob: Digest,
): Promise<{ readonly from?: string | undefined; readonly upload?: Upload | undefined }> {
  const host = repository.slice(0, repository.indexOf('/') + 1);
  const sources = ((await parts.metadata.state()).sources.get(blob) ?? [])
    .filter((source) => source.startsWith(host) && source !== repository)
    .reverse()
    .sort((one, other) => commonFolders(other, repository) - commonFolders(one, repository))
    .map((source) => source.slice(host.length))
    .slice(0, mostSources);
  transport.addScopes(sources.map((source) => `repository:${source}:pull`));
  return await uploader.mount(blob, sources);
}

/** How many parts of two paths are the same from the start: who is like the repository is asked first, then the latest. */
function commonFolders(one: string, other: string): number {
  const [parts, others] = [one.split('/'), other.split('/')];
  const different = parts.findIndex((part, at) => part !== others[at]);
  return different < 0 ? parts.length : different;
}

/** The stored manifest where it names what was pushed, else one of the same kind that does, written as docker writes it. */
async function manifestFor(
  { content }: StoreParts,
  image: ImageRecord,
  stored: Manifest,
  layers: readonly CompressedLayer[],
): Promise<{ bytes: Buffer; mediaType: string }> {
  const mediaType = stored.mediaType ?? image.mediaType;
  if (layers.every(({ digest }, index) => digest === stored.layers[index]!.digest)) {
    return { bytes: await content.read(image.manifest, largestDocument), mediaType };
  }
  const isDocker = mediaType === mediaTypes.dockerManifest;
  const gzip = isDocker ? mediaTypes.dockerLayerGzip : mediaTypes.ociLayerGzip;
  const describe = ({ mediaType: type, size, digest }: Descriptor) => ({ mediaType: type, size, digest });
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: describe(stored.config),
    layers: layers.map(({ digest, size }, index) => {
      const before = stored.layers[index]!;
      return describe(before.digest === digest ? before : { mediaType: gzip, size, digest });
    }),
    ...(stored.annotations && { annotations: stored.annotations }),
  };
  return { bytes: Buffer.from(JSON.stringify(manifest, undefined, 3)), mediaType };
}

/** A push's errors come in a stream that began well; what they are called is all that is left to say. */
function asDockerd(error: unknown): WherryError {
  const reason = error instanceof WherryError ? error.details?.reason : undefined;
  const code = codeOf(error) ?? 'internal';
  const own = code === 'unavailable' || code === 'unauthorized' ? 'internal' : code;
  return new WherryError(own, typeof reason === 'string' ? reason : messageOf(error), { cause: error });
}
