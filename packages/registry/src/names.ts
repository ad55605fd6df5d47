import { type Digest, isDigest } from '@wherry/oci';
import { refusal } from './refusal.ts';

/** A repository's name, checked: distribution-spec 1.1, "Pulling manifests". Safe as a path beneath a folder. */
export type RepositoryName = string & { readonly __repositoryName: unique symbol };

const namePattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
/** Upstream bounds host and name to 255 together; the host is not known here. */
const longestName = 255;

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= longestName && namePattern.test(text);
}

/** Throws NAME_INVALID. */
export function parseRepositoryName(text: string): RepositoryName {
  if (!isRepositoryName(text))
    throw refusal('NAME_INVALID', 'invalid repository name', { detail: text.slice(0, longestName) });
  return text;
}

export function isTag(text: string): boolean {
  return tagPattern.test(text);
}

/** What a manifest is asked for by. */
export type ManifestReference =
  | { readonly kind: 'digest'; readonly digest: Digest }
  | { readonly kind: 'tag'; readonly tag: string };

/** A tag or a digest; `undefined` for what is neither. Throws DIGEST_INVALID for a digest that is none. */
export function parseManifestReference(text: string): ManifestReference | undefined {
  if (text.includes(':')) return { kind: 'digest', digest: requireDigest(text) };
  return isTag(text) ? { kind: 'tag', tag: text } : undefined;
}

/** Throws DIGEST_INVALID. */
export function requireDigest(text: string | undefined): Digest {
  if (text === undefined || !isDigest(text))
    throw refusal('DIGEST_INVALID', 'provided digest did not match uploaded content', {
      detail: `invalid digest ${JSON.stringify((text ?? '').slice(0, 200))}`,
    });
  return text;
}
