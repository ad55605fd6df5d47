import { type Descriptor, type Digest, isDigest, mediaTypes } from '@wherry/oci';
import { refusal } from '../refusal.ts';

/** Larger ones are refused; the spec asks registries to take at least 4 MiB ("Pushing Manifests"). */
export const largestManifest = 4 * 1024 * 1024;
/** Descriptors in one manifest: each is looked up before it is taken. */
const mostDescriptors = 10_000;

/** What a registry must know of a manifest. */
export interface ParsedManifest {
  readonly mediaType: string;
  /** Config and layers that must be here: without those that are to be fetched from elsewhere. */
  readonly blobs: readonly Digest[];
  /** Manifests that an index names. */
  readonly manifests: readonly Digest[];
  readonly subject: Digest | undefined;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

const imageTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];
const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerList];

/** All media types of manifests that are taken. */
export const manifestTypes: readonly string[] = [...imageTypes, ...indexTypes];

/** Layers that registries are not asked to keep (image-spec layer.md, "Non-Distributable Layers"). */
const elsewhere =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar|docker\.image\.rootfs\.foreign\.diff\.tar)/;

/** Reads a manifest or an index as it was pushed. Throws MANIFEST_INVALID. */
export function parseManifest(content: Buffer, contentType: string | undefined): ParsedManifest {
  const value = parseObject(content);
  const mediaType = mediaTypeOf(value, contentType);
  if (value.schemaVersion !== 2) throw invalid('schemaVersion must be 2');
  const isIndex = indexTypes.includes(mediaType);
  const entries = isIndex ? list(value.manifests, 'manifests') : list(value.layers, 'layers');
  if (isIndex && (value.layers !== undefined || value.config !== undefined))
    throw invalid('an index has neither config nor layers');
  if (!isIndex && value.manifests !== undefined) throw invalid('an image manifest has no manifests');
  const descriptors = entries.map((entry) => descriptor(entry, isIndex ? 'manifests' : 'layers'));
  const config = isIndex ? undefined : descriptor(value.config, 'config');
  const blobs = isIndex ? [] : [config!, ...descriptors.filter((layer) => !isElsewhere(layer))];
  const artifactType = text(value.artifactType, 'artifactType');
  // Go reads null as nothing.
  const subject = value.subject ?? undefined;
  return {
    mediaType,
    blobs: digests(blobs),
    manifests: isIndex ? digests(descriptors) : [],
    subject: subject === undefined ? undefined : (descriptor(subject, 'subject').digest as Digest),
    artifactType: artifactType ?? config?.mediaType,
    annotations: annotations(value.annotations),
  };
}

function parseObject(content: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch (error) {
    throw invalid('the manifest is not JSON', error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('the manifest is no object');
  return value as Record<string, unknown>;
}

/** What the client said and what the manifest says must be the same (distribution-spec, "Pushing Manifests"). */
function mediaTypeOf(value: Record<string, unknown>, contentType: string | undefined): string {
  const said = /^[^;\s]+/.exec(contentType?.trim() ?? '')?.[0].toLowerCase();
  const written = text(value.mediaType, 'mediaType');
  if (said !== undefined && written !== undefined && said !== written.toLowerCase())
    throw invalid(`the manifest has the media type ${JSON.stringify(written)}, but the Content-Type is ${said}`);
  const mediaType = written ?? said;
  if (mediaType === undefined) throw invalid('the manifest has no media type, and there is no Content-Type');
  if (!manifestTypes.includes(mediaType)) throw invalid(`unsupported manifest media type ${JSON.stringify(mediaType)}`);
  return mediaType;
}

function list(value: unknown, field: string): readonly unknown[] {
  // Go clients write an empty list as null.
  if (value === null) return [];
  if (!Array.isArray(value)) throw invalid(`${field} must be a list`);
  if (value.length > mostDescriptors) throw invalid(`${field} has more than ${mostDescriptors} entries`);
  return value;
}

function descriptor(value: unknown, field: string): Descriptor {
  const { digest, size, mediaType } = (value ?? {}) as Record<string, unknown>;
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`${field} has an invalid digest`);
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw invalid(`${field} has an invalid size`);
  if (typeof mediaType !== 'string') throw invalid(`${field} has no media type`);
  return value as Descriptor;
}

function isElsewhere({ mediaType, urls }: Descriptor): boolean {
  return elsewhere.test(mediaType) || (Array.isArray(urls) && urls.length > 0);
}

function digests(descriptors: readonly Descriptor[]): readonly Digest[] {
  return [...new Set(descriptors.map(({ digest }) => digest as Digest))];
}

function text(value: unknown, field: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string' || value.length > 1024) throw invalid(`${field} must be a string`);
  return value;
}

function annotations(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid('annotations must be an object');
  for (const entry of Object.values(value)) if (typeof entry !== 'string') throw invalid('annotations must be strings');
  return value as Record<string, string>;
}

function invalid(detail: string, cause?: unknown): Error {
  return refusal('MANIFEST_INVALID', 'manifest invalid', { detail, cause });
}
