import { codeOf, messageOf, WherryError } from '@wherry/base';
import type { Reference } from '@wherry/oci';
import type { PullOptions } from '@wherry/runtime';
import type { StoreParts } from '../store-parts.ts';
import { withRegistry } from './with-registry.ts';

/** All tags that a registry has of a repository; see `ImageLibrary.remoteTags`. */
export async function remoteTags(
  parts: StoreParts,
  reference: Reference,
  { auth, signal }: PullOptions & { readonly signal: AbortSignal },
): Promise<string[]> {
  try {
    return await withRegistry(reference, { parts, auth, signal, dialect: 'docker' }, (client) => client.tags());
  } catch (error) {
    const code = codeOf(error) ?? 'internal';
    const own = code === 'unavailable' || code === 'unauthorized' ? 'internal' : code;
    throw new WherryError(own, messageOf(error), { cause: error });
  }
}
