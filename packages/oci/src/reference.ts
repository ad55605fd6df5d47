import { WherryError } from '@wherry/base';
import { type Digest, isDigest } from './digest.ts';

/**
 * An image reference, normalised as docker and containerd do it (distribution/reference):
 * `[host[:port]/]path[:tag][@digest]`, host `docker.io` and path `library/…` filled in.
 */
export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly host: string;
  /** `library/busybox`. */
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

const defaultHost = 'docker.io';
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const pathPattern = new RegExp(`^${component}(?:/${component})*$`);
const hostLabel = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const hostPattern = new RegExp(`^(?:${hostLabel}(?:\\.${hostLabel})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/**
 * Parses a reference; without tag and digest the tag is `latest`. Throws `invalid` with upstream's
 * words (`invalid reference format`).
 */
export function parseReference(text: string): Reference {
  if (text === '' || text.length > 4096) throw invalid();
  // 64 digits are an image ID, which upstream refuses as a name.
  if (/^[0-9a-f]{64}$/.test(text)) {
    throw new WherryError('invalid', `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  }
  const [name, digest] = splitDigest(text);
  const slash = name.lastIndexOf('/');
  const colon = name.indexOf(':', slash + 1);
  const full = colon < 0 ? name : name.slice(0, colon);
  const tag = colon < 0 ? undefined : name.slice(colon + 1);
  const [host, path] = splitHost(full);
  // Upstream looks at this before anything else.
  if (path !== path.toLowerCase()) {
    throw new WherryError('invalid', `invalid reference format: repository name (${path}) must be lowercase`);
  }
  if ((tag !== undefined && !tagPattern.test(tag)) || !hostPattern.test(host) || !pathPattern.test(path))
    throw invalid();
  // distribution/reference bounds the path alone since 0.6.
  if (path.length > 255) {
    throw new WherryError('invalid', 'repository name must not be more than 255 characters');
  }
  return { host, path, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest };
}

/** As `parseReference`, but `undefined` for what is not a reference. */
export function tryParseReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

/** The full form: `docker.io/library/busybox:1.35`, `localhost:1/a/b@sha256:…`. */
export function formatReference(reference: Reference): string {
  return repositoryOf(reference) + suffixOf(reference);
}

/** Host and path: `docker.io/library/busybox`. */
export function repositoryOf({ host, path }: Pick<Reference, 'host' | 'path'>): string {
  return `${host}/${path}`;
}

/** As people write it: `busybox:1.35`, `user/app:1`, `localhost:1/a/b:c`. */
export function familiarReference(reference: Reference): string {
  return familiarRepository(reference) + suffixOf(reference);
}

/** The repository as people write it: `busybox`, `user/app`, `ghcr.io/a/b`. */
export function familiarRepository({ host, path }: Pick<Reference, 'host' | 'path'>): string {
  if (host !== defaultHost) return `${host}/${path}`;
  return path.startsWith('library/') && !path.slice(8).includes('/') ? path.slice(8) : path;
}

function suffixOf({ tag, digest }: Reference): string {
  return (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`);
}

function splitDigest(text: string): [string, Digest | undefined] {
  const at = text.indexOf('@');
  if (at < 0) return [text, undefined];
  const digest = text.slice(at + 1);
  if (!isDigest(digest)) throw invalid();
  return [text.slice(0, at), digest];
}

/** The first part is a host when it could be no path: with a dot, a colon, upper case, or `localhost`. */
function splitHost(name: string): [string, string] {
  const slash = name.indexOf('/');
  const first = name.slice(0, slash);
  const isHost = slash > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const host = isHost ? first : defaultHost;
  const path = isHost ? name.slice(slash + 1) : name;
  if (host !== defaultHost && host !== 'index.docker.io') return [host, path];
  return [defaultHost, path.includes('/') ? path : `library/${path}`];
}

function invalid(): WherryError {
  return new WherryError('invalid', 'invalid reference format');
}
