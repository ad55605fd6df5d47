import { WherryError } from '@wherry/base';
import { familiarReference, familiarRepository, isDigest, parseReference, tryParseReference } from '@wherry/oci';

/** A full name as docker shows it: `busybox:latest` of `docker.io/library/busybox:latest`. */
export function familiar(name: string): string {
  const reference = tryParseReference(name);
  return reference ? familiarReference(reference) : name;
}

/** The repository of a full name as docker shows it. */
export function familiarRepositoryOf(name: string): string {
  const reference = tryParseReference(name);
  return reference ? familiarRepository(reference) : name;
}

/**
 * One name of `repo` and `tag` as the API gives them apart. A tag of the repository itself gives way to `tag`, which may
 * be a digest. Throws `invalid` in dockerd's words.
 */
export function joinName(repository: string, tag: string): string {
  if (repository === '') throw new WherryError('invalid', 'invalid reference format');
  const { host, path, ...given } = parseReference(repository);
  const bare = repository.slice(0, repository.length - suffixLength(repository));
  if (tag === '') return repository;
  if (isDigest(tag)) return `${bare}@${tag}`;
  if (given.digest !== undefined) throw new WherryError('invalid', 'refusing to create a tag with a digest reference');
  if (tryParseReference(`${host}/${path}:${tag}`)?.tag !== tag) throw new WherryError('invalid', 'invalid tag format');
  return `${bare}:${tag}`;
}

/** Whether a name says neither tag nor digest. */
export function isBare(name: string): boolean {
  return suffixLength(name) === 0;
}

function suffixLength(name: string): number {
  const at = name.indexOf('@');
  const end = at < 0 ? name.length : at;
  const colon = name.slice(0, end).indexOf(':', name.slice(0, end).lastIndexOf('/') + 1);
  return name.length - (colon < 0 ? end : colon);
}
