import { WherryError } from '@wherry/base';
import {
  familiarReference,
  familiarRepository,
  formatReference,
  isDigest,
  parseReference,
  repositoryOf,
  tryParseReference,
} from '@wherry/oci';

/** The full reference of a name to give. Throws `invalid` for one with a digest. */
export function nameOf(reference: string): string {
  const parsed = parseReference(reference);
  if (parsed.digest !== undefined || isDigest(reference)) {
    throw new WherryError('invalid', 'refusing to create a tag with a digest reference');
  }
  if (familiarRepository(parsed) === 'sha256') {
    throw new WherryError('invalid', 'refusing to create an ambiguous tag using digest algorithm as name');
  }
  return formatReference(parsed);
}

/** A full reference as people write it. */
export function familiarName(name: string): string {
  const reference = tryParseReference(name);
  return reference ? familiarReference(reference) : name;
}

/** Whether a full reference names a digest and not a tag. */
export function hasDigest(name: string): boolean {
  return name.includes('@');
}

/** The repository of a full reference. */
export function repositoryOfName(name: string): string {
  return repositoryOf(parseReference(name));
}
