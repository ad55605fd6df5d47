import type { Exchange } from '../protocol/exchange.ts';
import { refusal } from '../refusal.ts';
import type { AccessRules, Action } from './access.ts';
import {
  type Authentication,
  basicCredentials,
  type Need,
  needsAsDetail,
  type PasswordCheck,
  scopeOf,
  unauthorized,
} from './authentication.ts';
import type { Grant, Identity } from './identity.ts';
import { type Claims, type TrustedKey, verifyJwt } from './jwt.ts';

/** A token service whose tokens are taken. */
export interface TokenIssuer {
  readonly issuer: string;
  readonly keys: readonly TrustedKey[];
  readonly foreign: boolean;
}

export interface TokenOptions {
  /** Where clients get tokens; a path is completed by where the client reached us. */
  readonly realm: string;
  readonly service: string;
  readonly issuers: readonly TokenIssuer[];
  readonly rules: AccessRules;
  /** For people with browsers, who have no tokens. */
  readonly passwords: PasswordCheck | undefined;
  readonly now: () => number;
}

/** Clocks may differ by so much, s. */
const leeway = 60;

/** Tokens of docker's registry token protocol: the challenge names a token service, its tokens say what is allowed. */
export class TokenAuthentication implements Authentication {
  readonly required = true;
  readonly #options: TokenOptions;

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  async identify(exchange: Exchange): Promise<Identity> {
    const header = exchange.header('authorization');
    if (header === undefined) return { user: undefined, grants: [] };
    const token = /^bearer\s+(\S+)$/i.exec(header)?.[1];
    const identity = token === undefined ? undefined : this.#read(token);
    if (identity === undefined)
      throw this.#challenge(exchange, undefined, token === undefined ? undefined : 'invalid_token');
    return identity;
  }

  async identifyPerson(exchange: Exchange): Promise<Identity> {
    const header = exchange.header('authorization');
    if (header === undefined) return { user: undefined };
    const { passwords } = this.#options;
    const credentials = basicCredentials(header);
    if (credentials && (await passwords?.verify(credentials.user, credentials.password)))
      return { user: credentials.user };
    throw unauthorized(`Basic realm="${this.#options.service}"`);
  }

  allows(identity: Identity, name: string, action: Action): boolean {
    const { grants } = identity;
    // Of a person: `identifyPerson`.
    if (grants === undefined) return this.#options.rules.allows(identity.user, name, action);
    return grants.some((grant) => {
      return (
        grant.type === 'repository' &&
        grant.name === name &&
        (grant.actions.includes(action) || grant.actions.includes('*'))
      );
    });
  }

  wouldAllow(identity: Identity, name: string, action: Action): boolean {
    // What another issuer would grant is not known here.
    if (identity.grants === undefined || identity.foreign === true) return false;
    return !this.allows(identity, name, action) && this.#options.rules.allows(userOf(identity), name, action);
  }

  lists(identity: Identity, name: string): boolean {
    return identity.foreign === true || this.#options.rules.allows(userOf(identity), name, 'pull');
  }

  mayList({ user, grants }: Identity): boolean {
    if (grants === undefined) return user !== undefined;
    return grants.some(({ type, name, actions }) => type === 'registry' && name === 'catalog' && actions.includes('*'));
  }

  denial(exchange: Exchange, identity: Identity, needs: readonly Need[] | 'catalog'): Error {
    const scope = needs === 'catalog' ? 'registry:catalog:*' : scopeOf(needs);
    const had = identity.grants !== undefined && exchange.header('authorization') !== undefined;
    const detail = needs === 'catalog' ? undefined : needsAsDetail(needs);
    return this.#challenge(exchange, scope || undefined, had ? 'insufficient_scope' : undefined, detail);
  }

  #challenge(exchange: Exchange, scope: string | undefined, error: string | undefined, detail?: unknown): Error {
    const { realm, service } = this.#options;
    const url = realm.startsWith('/') ? exchange.origin + realm : realm;
    const parts = [`realm="${url}"`, `service="${service}"`];
    if (scope !== undefined) parts.push(`scope="${scope}"`);
    if (error !== undefined) parts.push(`error="${error}"`);
    return unauthorized(`Bearer ${parts.join(',')}`, detail);
  }

  #read(token: string): Identity | undefined {
    const now = this.#options.now();
    for (const { issuer, keys, foreign } of this.#options.issuers) {
      const claims = verifyJwt(token, keys, now);
      if (claims === undefined || !this.#isFor(claims, issuer, now / 1000)) continue;
      const { sub } = claims;
      return { user: typeof sub === 'string' ? sub : '', grants: grantsOf(claims.access), foreign };
    }
    return undefined;
  }

  #isFor({ iss, aud, exp, nbf }: Claims, issuer: string, now: number): boolean {
    const audience = Array.isArray(aud) ? aud : [aud];
    return (
      iss === issuer &&
      audience.includes(this.#options.service) &&
      typeof exp === 'number' &&
      now < exp + leeway &&
      (nbf === undefined || (typeof nbf === 'number' && now > nbf - leeway))
    );
  }
}

/** The token of somebody who is not logged in has no subject. */
function userOf({ user }: Identity): string | undefined {
  return user === '' ? undefined : user;
}

function grantsOf(access: unknown): readonly Grant[] {
  if (!Array.isArray(access)) return [];
  return access.filter((entry: unknown): entry is Grant => {
    const { type, name, actions } = (entry ?? {}) as Partial<Record<keyof Grant, unknown>>;
    return typeof type === 'string' && typeof name === 'string' && Array.isArray(actions);
  });
}

/** Refuses a request of the token service. */
export function badTokenRequest(why: string): Error {
  return refusal('UNSUPPORTED', why, { status: 400 });
}
