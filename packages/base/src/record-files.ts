import { rename } from 'node:fs/promises';
import { messageOf, WherryError } from './errors.ts';
import type { Logger } from './log.ts';

/** The error of a record that a later version wrote, which is left as it is: `unsupported`. */
export function otherVersion(place: string, found: unknown, known: number): WherryError {
  const version = found === undefined ? 'none' : `version ${JSON.stringify(found).slice(0, 40)}`;
  const words = `${place} has ${version}, and this Wherry reads version ${known}: start the one that wrote it`;
  return new WherryError('unsupported', words);
}

/** What is appended to the name of a file that cannot be read. */
export const unreadableSuffix = '.unreadable';

/** What can be done about a journal's lines that cannot be read, for the log. */
export const unreadableAdvice =
  'put its lines, mended, back into the journal, or remove it to have what has no record removed';

/** Renames a file that cannot be read, for somebody to look at, and says so. */
export async function setAside(path: string, log: Logger, error: unknown): Promise<void> {
  const aside = `${path}${unreadableSuffix}`;
  await rename(path, aside);
  log.warn('put aside a record that cannot be read', { path, aside, error: messageOf(error) });
}
