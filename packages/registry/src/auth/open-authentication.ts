import { readFile } from 'node:fs/promises';
import { type DisposalStack, type Logger, messageOf, type Random, WherryError } from '@wherry/base';
import { type AccessRule, AccessRules, defaultRules } from './access.ts';
import { type Authentication, BasicAuthentication, openAccess } from './authentication.ts';
import { Htpasswd } from './htpasswd.ts';
import { parseTrustedKeys } from './jwt.ts';
import { TokenAuthentication, type TokenIssuer } from './token-authentication.ts';
import { openTokenKey, TokenService, tokenPath } from './token-service.ts';

/** Who may do what; without users and issuers everybody may do everything. */
export interface AuthOptions {
  /** File of users, as `htpasswd -B` writes it. */
  readonly htpasswd?: string | undefined;
  /** Give users tokens (`/token`) instead of asking for their password with each request. */
  readonly tokens?: boolean | undefined;
  /** Another token service, whose tokens are taken as they are; its keys in a JWK set or PEM file. */
  readonly issuer?: { readonly name: string; readonly realm: string; readonly keys: string } | undefined;
  /** What tokens are for (default: `wherry-registry`), and what browsers show when they ask for a password. */
  readonly service?: string | undefined;
  /** Default: every user everything, nobody else anything. */
  readonly rules?: readonly AccessRule[] | undefined;
}

export interface OpenedAuthentication {
  readonly auth: Authentication;
  readonly tokenService: TokenService | undefined;
}

/** Where the registry is, and what it has of the outside. */
export interface Place {
  readonly directory: string;
  readonly log: Logger;
  readonly random: Random;
  readonly now: () => number;
  /** `https://host` under which clients reach it, where that is not what they say. */
  readonly externalUrl?: string | undefined;
}

/** Opens what the options ask for; `resources` takes over what must be closed. Throws `invalid`. */
export async function openAuthentication(
  options: AuthOptions,
  { directory, log, random, now, externalUrl = '' }: Place,
  resources: DisposalStack,
): Promise<OpenedAuthentication> {
  const { htpasswd, tokens = false, issuer, service = 'wherry-registry' } = options;
  if (!/^[\w.:/-]{1,200}$/.test(service))
    throw new WherryError('invalid', `invalid service name ${JSON.stringify(service)}`);
  if (tokens && htpasswd === undefined)
    throw new WherryError('invalid', 'tokens are issued to the users of an htpasswd file');
  if (options.rules !== undefined && htpasswd === undefined)
    throw new WherryError('invalid', 'access rules need users: give an htpasswd file');
  const rules = new AccessRules(options.rules ?? defaultRules);
  const passwords = htpasswd === undefined ? undefined : resources.use(await Htpasswd.open(htpasswd, log), 'users');
  if (!tokens && issuer === undefined)
    return {
      auth: passwords ? new BasicAuthentication(passwords, rules, service) : openAccess,
      tokenService: undefined,
    };
  const tokenService =
    tokens && passwords
      ? new TokenService({ service, passwords, rules, random, now, key: await openTokenKey(directory) })
      : undefined;
  const issuers: TokenIssuer[] = tokenService ? [tokenService.issuer] : [];
  if (issuer) issuers.push({ issuer: issuer.name, keys: await readKeys(issuer.keys), foreign: true });
  const realm = issuer && !tokenService ? issuer.realm : externalUrl + tokenPath;
  return { auth: new TokenAuthentication({ realm, service, issuers, rules, passwords, now }), tokenService };
}

async function readKeys(file: string): Promise<TokenIssuer['keys']> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new WherryError('invalid', `keys of the token issuer: ${messageOf(error)}`, { cause: error });
  });
  return parseTrustedKeys(text, file);
}
