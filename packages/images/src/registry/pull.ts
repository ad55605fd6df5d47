import { type Clock, codeOf, type Logger, messageOf, Semaphore, WherryError } from '@wherry/base';
import {
  type Descriptor,
  type Digest,
  formatReference,
  mediaTypes,
  type Platform,
  parseDigest,
  type Reference,
  repositoryOf,
  selectPlatform,
} from '@wherry/oci';
import type { PullOptions, PullProgress } from '@wherry/runtime';
import { largestDocument, parseConfig, parseIndex, parseManifest, parseObject } from '../content/json.ts';
import type { ImageRegistrar } from '../image-registrar.ts';
import type { ImageRecord } from '../metadata.ts';
import { RegistryClient } from './registry-client.ts';
import { Connections } from './request.ts';

export interface PullContext extends PullOptions {
  readonly signal: AbortSignal;
  readonly platform: Platform;
  readonly registrar: ImageRegistrar;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Layers of one image downloaded at a time, as dockerd and containerd do. */
const parallelLayers = 3;

/** Pulls an image and enters it under its tag and digest. Errors are worded as containerd's. */
export async function pull(reference: Reference, context: PullContext): Promise<ImageRecord> {
  const name = formatReference(reference);
  using connections = new Connections();
  const { auth, clock, signal } = context;
  const client = new RegistryClient(reference, connections, { auth, clock, signal });
  let target: Descriptor;
  try {
    target = await client.resolve();
  } catch (error) {
    throw wrapped(`failed to pull and unpack image "${name}": failed to resolve reference "${name}"`, error, true);
  }
  try {
    return await fetchAll(reference, client, target, context);
  } catch (error) {
    throw wrapped(`failed to pull and unpack image "${name}"`, error, false);
  }
}

async function fetchAll(
  reference: Reference,
  client: RegistryClient,
  target: Descriptor,
  context: PullContext,
): Promise<ImageRecord> {
  const { registrar } = context;
  const { pins } = registrar;
  const targetDigest = parseDigest(target.digest);
  using _target = await pins.pin([targetDigest]);
  const manifestDigest = await fetchManifest(client, targetDigest, context);
  using _manifest = await pins.pin([manifestDigest]);
  const manifest = parseManifest(await registrar.content.read(manifestDigest, largestDocument));
  const parts = [manifest.config, ...manifest.layers];
  using _parts = await pins.pin(parts.map(({ digest }) => parseDigest(digest)));
  if (manifest.config.size > largestDocument) {
    throw new WherryError('tooLarge', `the image config has ${manifest.config.size} bytes`);
  }
  const report = context.onProgress ?? (() => undefined);
  await fetchBlob(client, manifest.config, context, () => undefined);
  // A broken config is seen before anything large is fetched.
  parseConfig(await registrar.content.read(parseDigest(manifest.config.digest), largestDocument));
  const slots = new Semaphore(parallelLayers);
  const layers = new Map(manifest.layers.map((layer) => [layer.digest, layer]));
  for (const digest of layers.keys()) report({ digest, phase: 'waiting' });
  const results = await Promise.allSettled(
    [...layers.values()].map((layer) => slots.run(() => fetchBlob(client, layer, context, report))),
  );
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  const names: [string, Digest][] = [[`${repositoryOf(reference)}@${targetDigest}`, targetDigest]];
  if (reference.tag !== undefined && reference.digest === undefined) {
    names.unshift([formatReference(reference), targetDigest]);
  }
  return await registrar.register(manifestDigest, names, {
    signal: context.signal,
    onLayer: ({ digest }, phase) => report({ digest, phase }),
  });
}

/** Stores the target and, when that is an index, the manifest that it has for the platform. */
async function fetchManifest(client: RegistryClient, target: Digest, context: PullContext): Promise<Digest> {
  const { content, mediaType } = await fetchDocument(client, target, context);
  if (!isIndex(content, mediaType)) return target;
  const chosen = selectPlatform(parseIndex(content).manifests, context.platform);
  if (chosen === undefined) throw new WherryError('notFound', 'no match for platform in manifest: not found');
  const digest = parseDigest(chosen.digest);
  const inner = await fetchDocument(client, digest, context);
  if (isIndex(inner.content, inner.mediaType)) {
    throw new WherryError('unsupported', 'an image index within an image index');
  }
  return digest;
}

async function fetchDocument(
  client: RegistryClient,
  digest: Digest,
  { registrar }: PullContext,
): Promise<{ content: Buffer; mediaType: string }> {
  if ((await registrar.content.size(digest)) !== undefined) {
    return { content: await registrar.content.read(digest, largestDocument), mediaType: '' };
  }
  const found = await client.manifest(digest);
  await using ingest = await registrar.content.ingest();
  await ingest.write(found.content);
  await ingest.commit(digest);
  return found;
}

function isIndex(content: Buffer, mediaType: string): boolean {
  const value = parseObject(content, 'image manifest');
  const type = value.mediaType ?? mediaType;
  return type === mediaTypes.ociIndex || type === mediaTypes.dockerList || Array.isArray(value.manifests);
}

async function fetchBlob(
  client: RegistryClient,
  descriptor: Descriptor,
  { registrar }: PullContext,
  report: (progress: PullProgress) => void,
): Promise<void> {
  const digest = parseDigest(descriptor.digest);
  const total = descriptor.size;
  const found = await registrar.content.size(digest);
  if (found === total) {
    report({ digest, phase: 'exists' });
    return;
  }
  await using ingest = await registrar.content.ingest();
  await client.blob(descriptor, ingest, (current) => report({ digest, phase: 'downloading', current, total }));
  report({ digest, phase: 'verifying' });
  await ingest.commit(digest);
  report({ digest, phase: 'downloaded' });
}

function wrapped(prefix: string, error: unknown, request: boolean): WherryError {
  const text = messageOf(error);
  // containerd says which request failed where no answer came at all.
  const reached = !request || !/^(?:Head|Get|Post) "/.test(text);
  return new WherryError(codeOf(error) ?? 'internal', `${prefix}: ${reached ? '' : 'failed to do request: '}${text}`, {
    cause: error,
  });
}
