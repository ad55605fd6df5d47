import { type Descriptor, type Digest, isDigest, mediaTypes, platformOf } from '@wherry/oci';
import { largestDocument, parseObject } from '../content/json.ts';
import type { IndexedImage } from '../image-finder.ts';
import type { ImageManifest, ImageManifests } from '../image-library.ts';
import type { StoreParts } from '../store-parts.ts';
import { layerBytes } from './image-summaries.ts';

/** What is behind an image's name; see `ImageLibrary.manifests`. */
export async function imageManifests(parts: StoreParts, reference: string): Promise<ImageManifests> {
  const { finder, metadata } = parts;
  const { image, name } = await finder.require(reference);
  const target = (name === undefined ? undefined : await metadata.name(name))?.target ?? image.manifest;
  const entries = name === undefined ? undefined : await finder.indexBehind(name);
  if (entries === undefined) {
    const descriptor = await descriptorOf(parts, image.manifest);
    return { target: descriptor, manifests: [await manifestOf(parts, { descriptor, image })] };
  }
  const manifests: ImageManifest[] = [];
  for (const entry of entries) manifests.push(await manifestOf(parts, entry));
  return { target: await descriptorOf(parts, target), manifests };
}

async function manifestOf(parts: StoreParts, { descriptor, image }: IndexedImage): Promise<ImageManifest> {
  const { annotations = {}, platform } = descriptor;
  const attests = annotations['vnd.docker.reference.digest'];
  if (annotations['vnd.docker.reference.type'] === 'attestation-manifest')
    return { descriptor, kind: 'attestation', contentBytes: 0, ...(attests && isDigest(attests) && { attests }) };
  if (image === undefined) {
    const isImage = platform !== undefined && platform.os !== 'unknown';
    return { descriptor, kind: isImage ? 'image' : 'unknown', contentBytes: 0, ...(isImage && { platform }) };
  }
  const unpackedBytes = (await layerBytes(parts, image)).reduce((sum, size) => sum + size, 0);
  const own = platform ?? platformOf(await parts.finder.config(image));
  const here = { id: image.id, unpackedBytes };
  return { descriptor, kind: 'image', platform: own, contentBytes: image.sizeBytes, image: here };
}

async function descriptorOf({ content }: StoreParts, digest: Digest): Promise<Descriptor> {
  const bytes = await content.read(digest, largestDocument);
  const { mediaType, manifests } = parseObject(bytes, 'image manifest');
  const usual = Array.isArray(manifests) ? mediaTypes.ociIndex : mediaTypes.ociManifest;
  return { mediaType: typeof mediaType === 'string' ? mediaType : usual, digest, size: bytes.length };
}
