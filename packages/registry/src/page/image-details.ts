import { type Descriptor, type Digest, type ImageIndex, type Manifest, mediaTypes } from '@wherry/oci';
import type { RepositoryName } from '../names.ts';
import type { Contents } from '../storage/contents.ts';

/** Larger configs are not shown. */
const largestConfig = 256 * 1024;

const imageConfigs: readonly string[] = [mediaTypes.ociConfig, mediaTypes.dockerConfig];

export interface ImagePart {
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
  readonly note: string | undefined;
}

/** What a page shows of a manifest or an index. */
export interface ImageDetails {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly size: number;
  readonly layers: readonly ImagePart[];
  readonly manifests: readonly ImagePart[];
  readonly referrers: readonly Descriptor[];
  /** As indented JSON. */
  readonly config: string | undefined;
}

export async function imageDetails(
  contents: Contents,
  name: RepositoryName,
  digest: Digest,
): Promise<ImageDetails | undefined> {
  const stored = await contents.manifest(name, { kind: 'digest', digest });
  if (stored === undefined) return undefined;
  const { config, layers, manifests } = JSON.parse(stored.content.toString('utf8')) as Partial<Manifest & ImageIndex>;
  return {
    digest,
    mediaType: stored.record.mediaType,
    // An artifact without a type of its own goes by its config's, which says nothing of an image.
    artifactType: imageConfigs.includes(stored.record.artifactType ?? '') ? undefined : stored.record.artifactType,
    size: await sizeOfImage(contents, name, digest),
    layers: (layers ?? []).map((layer) => partOf(layer, undefined)),
    manifests: (manifests ?? []).map((child) => partOf(child, platformOf(child))),
    referrers: await contents.repositories.referrers(name, digest),
    config: config && (await configText(contents, name, config)),
  };
}

/** Bytes of a manifest and of what it names, each once; what is not here counts nothing. */
export async function sizeOfImage(contents: Contents, name: RepositoryName, root: Digest): Promise<number> {
  const seen = new Set<Digest>();
  let bytes = 0;
  const queue = [root];
  for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
    if (seen.has(digest)) continue;
    seen.add(digest);
    const record = await contents.repositories.manifest(name, digest);
    if (record === undefined) continue;
    bytes += record.size;
    queue.push(...record.manifests);
    for (const blob of record.blobs) {
      if (seen.has(blob)) continue;
      seen.add(blob);
      bytes += (await contents.repositories.blob(name, blob))?.size ?? 0;
    }
  }
  return bytes;
}

async function configText(contents: Contents, name: RepositoryName, config: Descriptor): Promise<string | undefined> {
  if (!/json$/.test(config.mediaType)) return undefined;
  const blob = await contents.openBlob(name, config.digest as Digest);
  if (blob === undefined) return undefined;
  try {
    if (blob.size > largestConfig) return undefined;
    const buffer = Buffer.alloc(blob.size);
    let read = 0;
    for (let part = 1; read < blob.size && part > 0; read += part) part = await blob.read(buffer.subarray(read), read);
    return JSON.stringify(JSON.parse(buffer.toString('utf8')), null, 2);
  } catch {
    return undefined;
  } finally {
    await blob.close();
  }
}

function partOf({ digest, size, mediaType }: Descriptor, note: string | undefined): ImagePart {
  return { digest: String(digest), size: Number(size), mediaType: String(mediaType), note };
}

function platformOf({ platform }: Descriptor): string | undefined {
  if (typeof platform !== 'object' || platform === null) return undefined;
  return [platform.os, platform.architecture, platform.variant].filter((part) => typeof part === 'string').join('/');
}
