import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { type Random, writeFileAtomically } from '@wherry/base';
import { isRepositoryName } from '../names.ts';
import { type Exchange, methodNotAllowed } from '../protocol/exchange.ts';
import { readText } from '../storage/files.ts';
import { type AccessRules, actions as allActions } from './access.ts';
import { basicCredentials, type PasswordCheck, unauthorized } from './authentication.ts';
import type { Grant } from './identity.ts';
import { signJwt, thumbprint } from './jwt.ts';
import { badTokenRequest, type TokenIssuer } from './token-authentication.ts';

/** Where the registry's own token service answers. */
export const tokenPath = '/token';
export const ownIssuer = 'wherry-registry';

/** Of a token, s: docker asks again for each push and pull. */
const lifetime = 300;
const largestForm = 64 * 1024;
const mostScopes = 100;

export interface TokenServiceOptions {
  readonly service: string;
  readonly passwords: PasswordCheck;
  readonly rules: AccessRules;
  readonly key: KeyObject;
  readonly now: () => number;
  readonly random: Random;
}

/**
 * The token service of docker's registry protocol: GET with Basic credentials or none, and POST as OAuth 2
 * (`grant_type=password`). A token grants of what was asked for what the rules allow, which may be nothing.
 */
export class TokenService {
  readonly #options: TokenServiceOptions;
  readonly #keyId: string;

  constructor(options: TokenServiceOptions) {
    this.#options = options;
    this.#keyId = thumbprint(options.key);
  }

  get issuer(): TokenIssuer {
    const key = createPublicKey(this.#options.key);
    return { issuer: ownIssuer, keys: [{ id: this.#keyId, key }], foreign: false };
  }

  async answer(exchange: Exchange): Promise<void> {
    exchange.route = 'token';
    if (exchange.method === 'GET' || exchange.method === 'HEAD') await this.#get(exchange);
    else if (exchange.method === 'POST') await this.#post(exchange);
    else throw methodNotAllowed(['GET', 'POST']);
  }

  async #get(exchange: Exchange): Promise<void> {
    const header = exchange.header('authorization');
    let user: string | undefined;
    if (header !== undefined) user = await this.#login(basicCredentials(header));
    this.#issue(exchange, user, exchange.query);
  }

  async #post(exchange: Exchange): Promise<void> {
    const body = await exchange.read(largestForm, () => badTokenRequest('the form is too large'));
    const form = new URLSearchParams(body.toString('utf8'));
    // Clients fall back to GET for what is not supported here.
    if (form.get('grant_type') !== 'password') throw badTokenRequest('only grant_type=password is supported');
    const user = await this.#login({ user: form.get('username') ?? '', password: form.get('password') ?? '' });
    this.#issue(exchange, user, form);
  }

  async #login(credentials: { user: string; password: string } | undefined): Promise<string> {
    const { passwords, service } = this.#options;
    if (credentials && (await passwords.verify(credentials.user, credentials.password))) return credentials.user;
    throw unauthorized(`Basic realm="${service}"`);
  }

  #issue(exchange: Exchange, user: string | undefined, asked: URLSearchParams): void {
    const { now, random, service, key } = this.#options;
    exchange.identity = { user };
    if (asked.has('service') && asked.get('service') !== service)
      throw badTokenRequest(`tokens are issued for the service ${JSON.stringify(service)} only`);
    const scopes = asked.getAll('scope').flatMap((scope) => scope.split(' ').filter((part) => part !== ''));
    if (scopes.length > mostScopes) throw badTokenRequest(`more than ${mostScopes} scopes`);
    const seconds = Math.floor(now() / 1000);
    const claims = {
      iss: ownIssuer,
      sub: user ?? '',
      aud: service,
      exp: seconds + lifetime,
      nbf: seconds - 10,
      iat: seconds,
      jti: random.hex(32),
      access: scopes.flatMap((scope) => this.#grant(user, scope)),
    };
    const token = signJwt(claims, key, this.#keyId);
    const issued = new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
    const body = { token, access_token: token, expires_in: lifetime, issued_at: issued };
    exchange.json(200, body, { 'Cache-Control': 'no-store' });
  }

  /** `type:name:action,action`; a name may hold colons no more than a repository's does. */
  #grant(user: string | undefined, scope: string): Grant[] {
    const [type, name = '', wanted = '', ...more] = scope.split(':');
    if (more.length > 0) return [];
    if (type === 'registry' && name === 'catalog') {
      return user !== undefined && wanted === '*' ? [{ type, name, actions: ['*'] }] : [];
    }
    if (type !== 'repository' || !isRepositoryName(name)) return [];
    const asked = wanted.split(',');
    const actions = allActions.filter(
      (action) => (asked.includes(action) || asked.includes('*')) && this.#options.rules.allows(user, name, action),
    );
    return actions.length > 0 ? [{ type, name, actions }] : [];
  }
}

/** The key that tokens are signed with: made once, kept in the registry's folder. */
export async function openTokenKey(directory: string): Promise<KeyObject> {
  const path = join(directory, 'token-key.pem');
  const text = await readText(path);
  if (text !== undefined) return createPrivateKey(text);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeFileAtomically(path, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return privateKey;
}
