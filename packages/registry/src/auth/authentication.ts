import type { Exchange } from '../protocol/exchange.ts';
import { refusal } from '../refusal.ts';
import { type AccessRules, type Action, actions } from './access.ts';
import type { Identity } from './identity.ts';

export interface Need {
  readonly name: string;
  readonly action: Action;
}

/** Who may do what. */
export interface Authentication {
  /** Who it is: nobody in particular without credentials. Throws UNAUTHORIZED for those that are wrong. */
  identify(exchange: Exchange): Promise<Identity>;
  /** As `identify`, for a person with a browser. */
  identifyPerson(exchange: Exchange): Promise<Identity>;
  /** Nothing can be asked without credentials that somebody has. */
  readonly required: boolean;
  allows(identity: Identity, name: string, action: Action): boolean;
  /** Whether it is not allowed now, but would be to the same user with another token. */
  wouldAllow(identity: Identity, name: string, action: Action): boolean;
  /** Whether the repository is shown to who may list. */
  lists(identity: Identity, name: string): boolean;
  mayList(identity: Identity): boolean;
  /** The error for a request without the right, with the challenge that says what would help. */
  denial(exchange: Exchange, identity: Identity, needs: readonly Need[] | 'catalog'): Error;
}

/** Everybody may do everything. */
export const openAccess: Authentication = {
  identify: () => Promise.resolve({ user: undefined }),
  identifyPerson: () => Promise.resolve({ user: undefined }),
  required: false,
  allows: () => true,
  wouldAllow: () => false,
  lists: () => true,
  mayList: () => true,
  denial: () => refusal('DENIED', 'requested access to the resource is denied'),
};

/** `user` and `password` of RFC 7617, `undefined` for anything else. */
export function basicCredentials(header: string | undefined): { user: string; password: string } | undefined {
  const encoded = /^basic\s+([A-Za-z0-9+/=]{1,8192})$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

export function unauthorized(challenge: string, detail?: unknown): Error {
  return refusal('UNAUTHORIZED', 'authentication required', {
    headers: { 'WWW-Authenticate': challenge },
    ...(detail !== undefined && { detail }),
  });
}

/** Checks passwords. */
export interface PasswordCheck {
  verify(user: string, password: string): Promise<boolean>;
}

/** Names and passwords with each request, as `htpasswd` users have them. */
export class BasicAuthentication implements Authentication {
  readonly required = true;
  readonly #passwords: PasswordCheck;
  readonly #rules: AccessRules;
  readonly #challenge: string;

  constructor(passwords: PasswordCheck, rules: AccessRules, realm: string) {
    this.#passwords = passwords;
    this.#rules = rules;
    this.#challenge = `Basic realm="${realm.replace(/["\\\r\n]/g, '')}"`;
  }

  async identify(exchange: Exchange): Promise<Identity> {
    const header = exchange.header('authorization');
    if (header === undefined) return { user: undefined };
    const credentials = basicCredentials(header);
    if (credentials && (await this.#passwords.verify(credentials.user, credentials.password)))
      return { user: credentials.user };
    throw unauthorized(this.#challenge);
  }

  identifyPerson(exchange: Exchange): Promise<Identity> {
    return this.identify(exchange);
  }

  allows({ user }: Identity, name: string, action: Action): boolean {
    return this.#rules.allows(user, name, action);
  }

  wouldAllow(): boolean {
    return false;
  }

  lists(identity: Identity, name: string): boolean {
    return this.allows(identity, name, 'pull');
  }

  mayList({ user }: Identity): boolean {
    return user !== undefined;
  }

  denial(_exchange: Exchange, { user }: Identity, needs: readonly Need[] | 'catalog'): Error {
    const detail = needs === 'catalog' ? undefined : needsAsDetail(needs);
    if (user === undefined) return unauthorized(this.#challenge, detail);
    return refusal('DENIED', 'requested access to the resource is denied', { detail });
  }
}

/** As the reference registry names the access that is missing. */
export function needsAsDetail(needs: readonly Need[]): unknown {
  return needs.map(({ name, action }) => ({ Type: 'repository', Class: '', Name: name, Action: action }));
}

/** The scopes that a request needs, in the words of the token protocol: pushing always asks for pulling too. */
export function scopeOf(needs: readonly Need[]): string {
  const byName = new Map<string, Set<Action>>();
  for (const { name, action } of needs) {
    const wanted = byName.get(name) ?? new Set();
    if (action === 'push') wanted.add('pull');
    wanted.add(action);
    byName.set(name, wanted);
  }
  const inOrder = (wanted: ReadonlySet<Action>): string => actions.filter((action) => wanted.has(action)).join(',');
  return [...byName].map(([name, wanted]) => `repository:${name}:${inOrder(wanted)}`).join(' ');
}
