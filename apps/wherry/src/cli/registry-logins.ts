import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { errnoOf, messageOf, WherryError } from '@wherry/base';
import type { CliContext } from './context.ts';

/**
 * What `docker login` has kept in its `config.json`, as the header `X-Registry-Config` takes it: base64url of a map from
 * registries to users and passwords. Credential helpers are programs of their own and are not asked.
 */
export async function registryLogins(env: CliContext['env']): Promise<string> {
  const path = join(env.DOCKER_CONFIG || join(env.HOME ?? homedir(), '.docker'), 'config.json');
  const logins: Record<string, object> = {};
  for (const [registry, { auth }] of Object.entries(await readAuths(path))) {
    const text = Buffer.from(auth ?? '', 'base64').toString();
    const colon = text.indexOf(':');
    if (colon <= 0) continue;
    logins[registry] = { username: text.slice(0, colon), password: text.slice(colon + 1), serveraddress: registry };
  }
  return Buffer.from(JSON.stringify(logins)).toString('base64url');
}

async function readAuths(path: string): Promise<Readonly<Record<string, { readonly auth?: string }>>> {
  try {
    const config = JSON.parse(await readFile(path, 'utf8')) as { auths?: Record<string, { auth?: string }> };
    return config.auths ?? {};
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return {};
    throw new WherryError('invalid', `${path}: ${messageOf(error)}`, { cause: error });
  }
}
