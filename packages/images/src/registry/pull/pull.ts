import { codeOf, messageOf, WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  familiarReference,
  familiarRepository,
  formatReference,
  type Manifest,
  mediaTypes,
  parseDigest,
  type Reference,
  repositoryOf,
  selectPlatform,
} from '@wherry/oci';
import { parseConfig } from '../../content/image-config.ts';
import { deepestIndexes, largestDocument, parseIndex, parseManifest, parseObject } from '../../content/json.ts';
import type { PulledImage } from '../../image-library.ts';
import { layerRecords } from '../../image-registrar.ts';
import type { ImageRecord, LayerRecord } from '../../metadata.ts';
import { labelsOf } from '../event-labels.ts';
import type { RegistryClient } from '../registry-client.ts';
import type { Dialect } from '../transport/registry-failure.ts';
import { withRegistry } from '../with-registry.ts';
import { checkAskedSystem, checkedLayers, checkImageSystem, checkLayerTypes } from './docker-refusals.ts';
import { fetchBlob } from './fetch-blob.ts';
import type { PullContext } from './pull-context.ts';
import { prepareForLayers, pullLayers } from './pull-layers.ts';

/** Pulls an image and enters it under its tag and digest, from a mirror where one has it. */
export async function pull(reference: Reference, context: PullContext): Promise<PulledImage> {
  // The name of the image without files in Dockerfiles.
  if (context.dialect === 'docker' && familiarRepository(reference) === 'scratch')
    throw new WherryError('invalid', "'scratch' is a reserved name");
  return await withRegistry(reference, context, (client) => pullFrom(reference, client, context));
}

async function pullFrom(reference: Reference, client: RegistryClient, context: PullContext): Promise<PulledImage> {
  const name = formatReference(reference);
  const { parts, dialect } = context;
  const { names, images } = await parts.metadata.state();
  const before = names.get(name)?.manifest;
  const had = before && images.get(before)?.id;
  let target: Descriptor;
  try {
    target = await client.resolve();
  } catch (error) {
    throw wrapped(
      `failed to pull and unpack image "${name}": failed to resolve reference "${name}"`,
      error,
      true,
      dialect,
    );
  }
  try {
    const image = await fetchAll(reference, client, target, context);
    await emitPull(reference, context);
    return { id: image.id, digest: parseDigest(target.digest), isNew: had !== image.id };
  } catch (error) {
    // What is whole of it is there for the next pull, but where it fills the disk.
    if (codeOf(error) === 'exhausted') await parts.garbage.collect().catch(() => undefined);
    throw wrapped(`failed to pull and unpack image "${name}"`, error, false, dialect);
  }
}

async function emitPull(reference: Reference, { parts, eventOf = 'tag' }: PullContext): Promise<void> {
  if (eventOf === 'nothing') return;
  const repository = familiarRepository(reference);
  const id = eventOf === 'tag' ? familiarReference(reference) : repository;
  const attributes = await labelsOf(parts, id);
  parts.events.emit({ action: 'pull', id, name: repository, attributes });
}

async function fetchAll(
  reference: Reference,
  client: RegistryClient,
  target: Descriptor,
  context: PullContext,
): Promise<ImageRecord> {
  const { registrar, pins, metadata, unsettled } = context.parts;
  const targetDigest = parseDigest(target.digest);
  using _target = await pins.pin([targetDigest]);
  const manifestDigest = await fetchManifest(client, targetDigest, context);
  using _manifest = await pins.pin([manifestDigest]);
  const manifest = parseManifest(await registrar.content.read(manifestDigest, largestDocument));
  const id = parseDigest(manifest.config.digest);
  using _parts = await pins.pin([id, ...manifest.layers.map(({ digest }) => parseDigest(digest))]);
  const names: [string, Digest][] = [[`${repositoryOf(reference)}@${targetDigest}`, targetDigest]];
  if (reference.tag !== undefined && reference.digest === undefined) {
    names.unshift([formatReference(reference), targetDigest]);
  }
  const known = (await metadata.state()).byId(id);
  using _known = await pins.pin(known ? known.layers.flatMap(({ digest, chainId }) => [digest, chainId]) : []);
  if (known && (await isPresent(context, known))) {
    if (targetDigest === manifestDigest) {
      await metadata.add(known, names);
      return known;
    }
    // By its own manifest it is found behind the index, whose word on its platform counts.
    using _document = await unsettled.begin(manifestDigest);
    const image = { ...known, manifest: manifestDigest, mediaType: manifest.mediaType ?? known.mediaType };
    await metadata.add(image, names);
    return image;
  }
  const isDocker = context.dialect === 'docker';
  checkConfigType(manifest);
  if (isDocker) {
    checkLayerTypes(manifest);
    checkAskedSystem(context.platform.os);
  }
  if (manifest.config.size > largestDocument) {
    throw new WherryError('tooLarge', `the image config has ${manifest.config.size} bytes`);
  }
  await prepareForLayers(manifest.layers, context);
  using _arrival = await unsettled.begin(manifestDigest);
  await fetchConfig(client, manifest.config, context);
  // A broken config is seen before anything large is fetched.
  const document = await registrar.content.read(id, largestDocument);
  const config = parseConfig(document);
  if (isDocker) checkImageSystem(config);
  const records = isDocker ? checkedLayers(manifest, config, document) : layerRecords(manifest, config);
  using _layers = await pins.pin(records.flatMap(({ chainId, diffId }) => [chainId, diffId]));
  const layers = await Promise.all(records.map((record) => asKept(context, record)));
  await pullLayers(client, manifest.layers, layers, context);
  return await registrar.register(manifestDigest, names, { layers, signal: context.signal, isDoubtful: true });
}

/** A layer that is here plain, and was compressed to what a registry has for a push, does not come again. */
async function asKept({ parts }: PullContext, record: LayerRecord): Promise<LayerRecord> {
  const { content, metadata, layers } = parts;
  const { digest, diffId, chainId } = record;
  if ((await metadata.state()).compressed.get(diffId)?.digest !== digest) return record;
  if ((await content.size(digest)) !== undefined || !(await layers.has(chainId))) return record;
  const size = await content.size(diffId);
  return size === undefined ? record : { ...record, digest: diffId, size };
}

/** What registries have called an image's config (moby 22378: some knew no better). */
const configTypes: readonly unknown[] = [
  mediaTypes.ociConfig,
  mediaTypes.dockerConfig,
  'application/octet-stream',
  'application/json',
  'text/html',
  '',
  undefined,
];

/** Registries hold charts, signatures and much else that looks like an image. Throws `unsupported` in dockerd's words. */
function checkConfigType({ mediaType, config }: Manifest): void {
  if (configTypes.includes(config.mediaType)) return;
  const isPlugin = config.mediaType === 'application/vnd.docker.plugin.v1+json';
  const words =
    mediaType === mediaTypes.dockerManifest
      ? `Encountered remote ${JSON.stringify(config.mediaType)}(${isPlugin ? 'plugin' : 'unknown'}) when fetching`
      : `unsupported media type ${config.mediaType}`;
  throw new WherryError('unsupported', words);
}

async function fetchConfig(client: RegistryClient, config: Descriptor, context: PullContext): Promise<void> {
  try {
    await fetchBlob(client, config, context);
  } catch (error) {
    const code = codeOf(error);
    if (context.dialect !== 'docker' || code === 'cancelled') throw error;
    const attempts = code === 'notFound' ? 'download failed after attempts=1: ' : '';
    const why = code === 'corrupt' ? `image config verification failed for digest ${config.digest}` : messageOf(error);
    throw new WherryError(code ?? 'internal', `error pulling image configuration: ${attempts}${why}`, { cause: error });
  }
}

/** Whether an image is here whole, whatever manifest brought it: then nothing needs to be fetched. */
async function isPresent({ parts }: PullContext, image: ImageRecord): Promise<boolean> {
  for (const { chainId } of image.layers) if (!(await parts.layers.has(chainId))) return false;
  return (await parts.metadata.image(image.manifest)) !== undefined;
}

/** Stores the target and, when that is an index, the manifest that it has for the platform. */
async function fetchManifest(client: RegistryClient, target: Digest, context: PullContext): Promise<Digest> {
  let document = await fetchDocument(client, target, context);
  // Of docker's own manifests dockerd looks at the kind before it says that it pulls.
  const manifest = isIndex(document) ? undefined : parseManifest(document.content);
  if (manifest?.mediaType === mediaTypes.dockerManifest) checkConfigType(manifest);
  context.onResolved?.(target);
  if (manifest) return target;
  for (let level = 1; ; level++) {
    const digest = choose(document, context);
    document = await fetchDocument(client, digest, context);
    if (!isIndex(document)) return digest;
    if (level === deepestIndexes)
      throw new WherryError('unsupported', `more than ${deepestIndexes} image indexes within each other`);
  }
}

/** What an index has for the platform. Throws `notFound`. */
function choose({ content }: FetchedDocument, context: PullContext): Digest {
  const chosen = selectPlatform(parseIndex(content).manifests, context.platform);
  if (chosen === undefined) {
    const { os, architecture, variant } = context.platform;
    const platform = [os, architecture, variant].filter(Boolean).join('/');
    const words = `no matching manifest for ${platform} in the manifest list entries`;
    throw new WherryError(
      'notFound',
      context.dialect === 'docker' ? words : 'no match for platform in manifest: not found',
    );
  }
  return parseDigest(chosen.digest);
}

interface FetchedDocument {
  readonly content: Buffer;
  readonly mediaType: string;
}

async function fetchDocument(
  client: RegistryClient,
  digest: Digest,
  { parts: { content } }: PullContext,
): Promise<FetchedDocument> {
  if ((await content.size(digest)) !== undefined) {
    return { content: await content.read(digest, largestDocument), mediaType: '' };
  }
  const found = await client.manifest(digest);
  await using ingest = await content.ingest();
  await ingest.write(found.content);
  await ingest.commit(digest);
  return found;
}

function isIndex({ content, mediaType }: FetchedDocument): boolean {
  const value = parseObject(content, 'image manifest');
  const type = value.mediaType ?? mediaType;
  if (type === mediaTypes.ociManifest || type === mediaTypes.dockerManifest) return false;
  return type === mediaTypes.ociIndex || type === mediaTypes.dockerList || Array.isArray(value.manifests);
}

/** dockerd answers an error of a registry as its own; the kubelet reads containerd's story around it. */
function wrapped(prefix: string, error: unknown, request: boolean, dialect: Dialect): WherryError {
  const text = messageOf(error);
  const code = codeOf(error) ?? 'internal';
  if (dialect === 'docker') {
    const own = code === 'unavailable' || code === 'unauthorized' ? 'internal' : code;
    return new WherryError(own, text, { cause: error });
  }
  // containerd says which request failed where no answer came at all.
  const reached = !request || !/^(?:Head|Get|Post) "/.test(text);
  return new WherryError(code, `${prefix}: ${reached ? '' : 'failed to do request: '}${text}`, { cause: error });
}
