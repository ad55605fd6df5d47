import { isDiskFull, WherryError } from '@wherry/base';

/** The error as it is, or, where that is its cause, that the disk is full: `exhausted`. */
export function namingFullDisk(error: unknown): unknown {
  if (!isDiskFull(error)) return error;
  return new WherryError('exhausted', 'the disk of the image store is full', { cause: error });
}
