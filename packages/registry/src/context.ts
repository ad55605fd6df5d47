import type { Logger } from '@wherry/base';
import type { Action } from './auth/access.ts';
import type { Need } from './auth/authentication.ts';
import type { RepositoryName } from './names.ts';
import type { Exchange } from './protocol/exchange.ts';
import type { Upstream } from './proxy/upstream.ts';
import type { Contents } from './storage/contents.ts';

/** What the handlers of requests work with. */
export interface RegistryContext {
  readonly contents: Contents;
  readonly log: Logger;
  readonly readOnly: boolean;
  /** Nothing is deleted for clients. */
  readonly keepAll: boolean;
  /** Manifests are taken of which parts are missing. */
  readonly sparse: boolean;
  readonly absoluteLocations: boolean;
  /** `https://host` under which clients reach the registry, where that is not what they say. */
  readonly externalUrl: string | undefined;
  /** Where missing content comes from: such a registry is not pushed to. */
  readonly upstream: Upstream | undefined;
  /** Whether who asked may do this too: nothing is refused. */
  allows(exchange: Exchange, name: RepositoryName, action: Action): boolean;
  /** Whether the same user would be allowed with another token, which `denial` asks for. */
  wouldAllow(exchange: Exchange, name: RepositoryName, action: Action): boolean;
  denial(exchange: Exchange, needs: readonly Need[]): Error;
  /** Whether the repository is shown to who asked in lists. */
  lists(exchange: Exchange, name: RepositoryName): boolean;
}
