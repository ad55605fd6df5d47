import { parseGoJson, WherryError } from '@wherry/base';
import { type Descriptor, type ImageIndex, isDigest, type Manifest } from '@wherry/oci';
import { mostLayers } from './image-config.ts';

/** Larger documents are refused unread. */
export const largestDocument = 8 * 1024 * 1024;
/** Indexes may be within indexes (image-spec, image-index.md): as deep as anybody needs. */
export const deepestIndexes = 4;

/** A JSON object. Throws `corrupt`, in Go's words for what is no JSON. */
export function parseObject(content: Buffer, what: string): Record<string, unknown> {
  const value = parseGoJson(content.toString('utf8'), 'document');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(what, 'is no object');
  return value as Record<string, unknown>;
}

/**
 * An image manifest (OCI manifest.md, Docker schema 2). Throws `corrupt`, `unsupported`. What is a manifest and an index
 * at once would be another image to each reader (CVE-2021-41190).
 */
export function parseManifest(content: Buffer): Manifest {
  const what = 'image manifest';
  const value = parseObject(content, what);
  if (value.schemaVersion !== 2) {
    throw new WherryError('unsupported', 'image manifests of schema 1 are not supported');
  }
  if (!Array.isArray(value.layers)) throw invalid(what, 'has no layers');
  if (value.manifests !== undefined) throw invalid(what, 'is an image index, too');
  if (value.layers.length > mostLayers) throw invalid(what, `has more than ${mostLayers} layers`);
  checkDescriptor(value.config, what);
  for (const layer of value.layers) checkDescriptor(layer, what);
  return value as unknown as Manifest;
}

/** An image index or manifest list. Throws `corrupt`. */
export function parseIndex(content: Buffer): ImageIndex {
  const value = parseObject(content, 'image index');
  if (!Array.isArray(value.manifests)) throw invalid('image index', 'has no manifests');
  if (value.config !== undefined || value.layers !== undefined)
    throw invalid('image index', 'is an image manifest, too');
  for (const manifest of value.manifests) checkDescriptor(manifest, 'image index');
  return value as unknown as ImageIndex;
}

function checkDescriptor(value: unknown, what: string): asserts value is Descriptor {
  const { digest, size } = (value ?? {}) as { digest?: unknown; size?: unknown };
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(what, 'has an invalid digest');
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw invalid(what, 'has an invalid size');
}

function invalid(what: string, why: string): WherryError {
  return new WherryError('corrupt', `the ${what} ${why}`);
}
