import type { RegistryAuth } from '@wherry/runtime';

/** Longer ones are nobody's credentials. */
const longestHeader = 64 * 1024;

/** `X-Registry-Auth` of a pull or push. What cannot be read counts as none, as in dockerd. */
export function registryAuth(header: string | string[] | undefined): RegistryAuth | undefined {
  const value = decode(header);
  return value && authOf(value);
}

/** `X-Registry-Config` of a build: credentials by registry. */
export function registryConfig(header: string | string[] | undefined): (registry: string) => RegistryAuth | undefined {
  const configs = decode(header) ?? {};
  return (registry) => {
    const names =
      registry === 'docker.io'
        ? ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io']
        : [registry, `https://${registry}`];
    for (const name of names) {
      const config = Object.hasOwn(configs, name) ? configs[name] : undefined;
      if (typeof config === 'object' && config !== null) return authOf(config as Record<string, unknown>);
    }
    return undefined;
  };
}

/** Credentials as clients write them; `undefined` when there are none in it. */
export function authOf(config: Readonly<Record<string, unknown>>): RegistryAuth | undefined {
  const text = (name: string): string => {
    const value = config[name];
    return typeof value === 'string' ? value : '';
  };
  if (text('registrytoken') !== '') return { registryToken: text('registrytoken') };
  if (text('identitytoken') !== '') return { identityToken: text('identitytoken') };
  if (text('username') !== '') return { username: text('username'), password: text('password') };
  if (text('auth') === '') return undefined;
  const pair = Buffer.from(text('auth'), 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon < 0 ? undefined : { username: pair.slice(0, colon), password: pair.slice(colon + 1) };
}

function decode(header: string | string[] | undefined): Record<string, unknown> | undefined {
  const text = typeof header === 'string' ? header : '';
  if (text === '' || text.length > longestHeader) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
