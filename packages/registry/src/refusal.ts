import { WherryError } from '@wherry/base';

/** Error codes of the distribution-spec 1.1 ("Error Codes", which has no others for 4xx but docker's TAG_INVALID), and two for 5xx. */
export type RefusalCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'TAG_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'
  | 'UNAVAILABLE'
  | 'UNKNOWN';

const statuses: Readonly<Record<RefusalCode, number>> = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  TAG_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
};

/** What a client reads: one entry of the body's `errors`, the status and headers of the answer. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
  readonly detail?: unknown;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

export interface RefusalOptions {
  readonly detail?: unknown;
  /** Instead of the code's own. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** An error that the client is told in the words given. */
export function refusal(code: RefusalCode, message: string, options: RefusalOptions = {}): WherryError {
  const { detail, status = statuses[code], headers = {}, cause } = options;
  const told: Refusal = { code, message, status, headers, ...(detail !== undefined && { detail }) };
  const kind =
    status === 401 ? 'unauthorized' : status === 404 ? 'notFound' : status >= 500 ? 'unavailable' : 'invalid';
  return new WherryError(kind, message, { cause, details: { refusal: told } });
}

/** What to tell a client of an error: what `refusal` made, a full disk, or nothing but that it failed. */
export function refusalOf(error: unknown): Refusal {
  const told = (error as WherryError | undefined)?.details?.refusal as Refusal | undefined;
  if (told) return told;
  const errno = (error as NodeJS.ErrnoException | undefined)?.code;
  if (errno === 'ENOSPC' || errno === 'EDQUOT' || errno === 'exhausted')
    return { code: 'DENIED', message: 'the disk of the registry is full', status: 507, headers: {} };
  return { code: 'UNKNOWN', message: 'unknown error', status: 500, headers: {} };
}
