import type { V1Secret } from '@wherry/api';
import type { RegistryAuth } from '@wherry/runtime';

/** The host (and port) of an image name; Docker Hub's is `index.docker.io`. */
function registryOf(image: string): string {
  const first = image.split('/', 1)[0] ?? '';
  const isHost = image.includes('/') && (first.includes('.') || first.includes(':') || first === 'localhost');
  return !isHost || first === 'docker.io' ? 'index.docker.io' : first;
}

interface Entry {
  readonly username?: unknown;
  readonly password?: unknown;
  readonly auth?: unknown;
  readonly identitytoken?: unknown;
}

/** The credentials that the pull secrets of a pod hold for an image, the most specific first. Secrets that do not parse are passed over, as upstream does. */
export function registryAuths(image: string, secrets: readonly V1Secret[]): RegistryAuth[] {
  const registry = registryOf(image);
  const path = registry === 'index.docker.io' && !image.startsWith('docker.io/') ? `${registry}/${image}` : image;
  const found: { key: string; auth: RegistryAuth }[] = [];
  for (const secret of secrets) {
    for (const [url, entry] of Object.entries(entriesOf(secret))) {
      const key = url
        .replace(/^https?:\/\//, '')
        .replace(/\/v[12]\/?$/, '')
        .replace(/\/$/, '');
      const [host = '', ...rest] = key.split('/');
      const below = [host === 'docker.io' ? 'index.docker.io' : host, ...rest].join('/');
      if (!hostMatches(below.split('/', 1)[0] ?? '', registry)) continue;
      if (rest.length > 0 && !path.startsWith(`${below}/`) && path !== below) continue;
      const auth = authOf(entry);
      if (auth) found.push({ key, auth });
    }
  }
  return found.sort((a, b) => b.key.length - a.key.length).map(({ auth }) => auth);
}

function entriesOf(secret: V1Secret): Record<string, Entry> {
  try {
    const config = secret.data?.['.dockerconfigjson'];
    const old = secret.data?.['.dockercfg'];
    const text = Buffer.from(config ?? old ?? '', 'base64').toString();
    const parsed = JSON.parse(text) as { auths?: Record<string, Entry> } & Record<string, Entry>;
    return (config === undefined ? parsed : parsed.auths) ?? {};
  } catch {
    return {};
  }
}

/** `*.example.com` stands for one label. */
function hostMatches(pattern: string, host: string): boolean {
  const left = pattern.split('.');
  const right = host.split('.');
  return left.length === right.length && left.every((part, at) => part === '*' || part === right[at]);
}

function authOf(entry: Entry): RegistryAuth | undefined {
  if (typeof entry.identitytoken === 'string' && entry.identitytoken !== '')
    return { identityToken: entry.identitytoken };
  if (typeof entry.username === 'string' && typeof entry.password === 'string')
    return { username: entry.username, password: entry.password };
  if (typeof entry.auth !== 'string') return undefined;
  const [username, ...password] = Buffer.from(entry.auth, 'base64').toString().split(':');
  return username ? { username, password: password.join(':') } : undefined;
}
