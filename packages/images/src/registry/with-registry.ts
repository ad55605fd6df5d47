import { messageOf, WherryError } from '@wherry/base';
import { formatReference, type Reference } from '@wherry/oci';
import type { RegistryAuth } from '@wherry/runtime';
import type { StoreParts } from '../store-parts.ts';
import { RegistryClient } from './registry-client.ts';
import { endpointsOf } from './transport/endpoint.ts';
import type { Dialect } from './transport/registry-failure.ts';

interface Access {
  readonly parts: StoreParts;
  readonly auth?: RegistryAuth | undefined;
  readonly signal: AbortSignal;
  readonly dialect: Dialect;
}

/** Asks for something of a repository, a mirror of its registry where one has it. Credentials go to the registry alone. */
export async function withRegistry<T>(
  reference: Reference,
  { parts, auth, signal, dialect }: Access,
  ask: (client: RegistryClient) => Promise<T>,
): Promise<T> {
  for (const endpoint of await endpointsOf(reference.host, parts.registries)) {
    const own = endpoint.isMirror ? undefined : auth;
    using client = new RegistryClient({ reference, endpoint, auth: own, clock: parts.clock, signal, dialect });
    try {
      return await ask(client);
    } catch (error) {
      if (!endpoint.isMirror || signal.aborted) throw error;
      parts.log.warn('a mirror does not serve an image', {
        reference: formatReference(reference),
        error: messageOf(error),
      });
    }
  }
  throw new WherryError('internal', 'a registry has no endpoint');
}
