import { badRequestError } from '@wherry/api';

/** Where a paged list goes on: `revision` -1 continues at the current state, without consistency. */
export interface ContinueToken {
  readonly revision: number;
  /** Cache key of the next object. */
  readonly start: string;
}

const version = 'meta.k8s.io/v1';

export function encodeContinue(token: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: version, rv: token.revision, start: token.start })).toString('base64url');
}

/** Error: 400 for anything that this server did not make. */
export function decodeContinue(text: string): ContinueToken {
  try {
    const value = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Record<string, unknown>;
    const { rv, start } = value;
    if (value.v === version && Number.isSafeInteger(rv) && typeof start === 'string' && start !== '') {
      return { revision: rv as number, start };
    }
  } catch {
    // Falls through to the one error below.
  }
  throw badRequestError('continue key is not valid: it was not made by this server');
}
