import { codeOf, messageOf, WherryError } from '@wherry/base';
import type { Reference } from '@wherry/oci';
import type { PullOptions } from '@wherry/runtime';
import type { StoreParts } from '../store-parts.ts';
import { endpointOf } from './endpoint.ts';
import { RegistryClient } from './registry-client.ts';

/** All tags that a registry has of a repository; see `ImageLibrary.remoteTags`. */
export async function remoteTags(
  parts: StoreParts,
  reference: Reference,
  { auth, signal }: PullOptions & { readonly signal: AbortSignal },
): Promise<string[]> {
  const endpoint = await endpointOf(reference.host, parts.registries);
  using client = new RegistryClient({ reference, endpoint, auth, clock: parts.clock, signal, dialect: 'docker' });
  try {
    return await client.tags();
  } catch (error) {
    const code = codeOf(error) ?? 'internal';
    const own = code === 'unavailable' || code === 'unauthorized' ? 'internal' : code;
    throw new WherryError(own, messageOf(error), { cause: error });
  }
}
