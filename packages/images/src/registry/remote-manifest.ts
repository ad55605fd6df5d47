import { codeOf, messageOf, WherryError } from '@wherry/base';
import type { Descriptor, Platform, Reference } from '@wherry/oci';
import type { PullOptions } from '@wherry/runtime';
import type { RemoteManifest } from '../image-library.ts';
import type { StoreParts } from '../store-parts.ts';
import { largestManifest, type RegistryClient } from './registry-client.ts';
import { withRegistry } from './with-registry.ts';

/** Most platforms of one index that are told. */
const mostPlatforms = 1000;

/** What a registry says of a name; see `ImageLibrary.remoteManifest`. */
export async function remoteManifest(
  parts: StoreParts,
  reference: Reference,
  { auth, signal }: PullOptions & { readonly signal: AbortSignal },
): Promise<RemoteManifest> {
  try {
    return await withRegistry(reference, { parts, auth, signal, dialect: 'docker' }, async (client) => {
      const descriptor = await client.resolve();
      if (descriptor.size > largestManifest) throw new WherryError('tooLarge', 'the manifest is too large');
      const { content } = await client.manifest(descriptor.digest);
      return { descriptor, platforms: await platformsOf(client, parse(content)) };
    });
  } catch (error) {
    const code = codeOf(error) ?? 'internal';
    const own = code === 'unavailable' || code === 'unauthorized' ? 'internal' : code;
    // What it is called is said of pulls alone.
    throw new WherryError(own, messageOf(error).replace(/^manifest for \S+ not found: /, ''), { cause: error });
  }
}

/** Those of an index, or of the image's config. */
async function platformsOf(client: RegistryClient, document: Readonly<Record<string, unknown>>): Promise<Platform[]> {
  const { manifests, config } = document as { manifests?: unknown; config?: unknown };
  if (Array.isArray(manifests)) {
    return manifests
      .slice(0, mostPlatforms)
      .flatMap((entry: Partial<Descriptor> | null) => platformIn(entry?.platform));
  }
  const { digest, size } = (config ?? {}) as Partial<Descriptor>;
  if (typeof digest !== 'string' || typeof size !== 'number' || size > largestManifest) return [];
  return platformIn(parse(await client.smallBlob(digest)));
}

function platformIn(value: unknown): Platform[] {
  if (typeof value !== 'object' || value === null) return [];
  const { os, architecture, variant } = value as Record<string, unknown>;
  if (typeof os !== 'string' || typeof architecture !== 'string') return [];
  return [{ architecture, os, ...(typeof variant === 'string' && variant !== '' ? { variant } : {}) }];
}

function parse(content: Buffer): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(content.toString('utf8'));
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
