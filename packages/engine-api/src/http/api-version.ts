import { WherryError } from '@wherry/base';

/** A version of the Docker Engine API. `number` orders them: 1.45 is 1045, and 1.45.1 a bit more. */
export interface ApiVersion {
  readonly text: string;
  readonly number: number;
}

/** What is spoken here: both ends of the range, as the API names them. */
export const oldestVersion = '1.24';
export const newestVersion = '1.50';

/** The version of a path without one. */
export const currentVersion: ApiVersion = { text: newestVersion, number: numberOf(newestVersion) };

/** The version that a path asks for (`1.45`). Throws `invalid` in dockerd's words outside of the range. */
export function requestedVersion(text: string): ApiVersion {
  const number = numberOf(text);
  if (number > currentVersion.number) {
    throw new WherryError(
      'invalid',
      `client version ${text} is too new. Maximum supported API version is ${newestVersion}`,
    );
  }
  if (number < numberOf(oldestVersion)) {
    throw new WherryError(
      'invalid',
      `client version ${text} is too old. Minimum supported API version is ${oldestVersion}, please upgrade your client to a newer version`,
    );
  }
  return { text, number };
}

function numberOf(text: string): number {
  const [major = '', minor = '', ...more] = text.split('.');
  const rest = more.some((part) => Number(part) > 0) ? 0.5 : 0;
  return Math.min(Number(major), 1e6) * 1000 + Math.min(Number(minor), 999) + rest;
}
