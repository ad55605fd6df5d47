import { codeOf, type ErrorCode } from '@wherry/base';

/** What each failure is in the Docker Engine API. */
const statuses = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  notFound: 404,
  alreadyExists: 409,
  conflict: 409,
  gone: 410,
  tooLarge: 413,
  cancelled: 500,
  corrupt: 500,
  exhausted: 500,
  internal: 500,
  unsupported: 501,
  unavailable: 503,
  timeout: 504,
} as const satisfies Record<ErrorCode, number>;

/** The HTTP status of whatever was thrown. */
export function statusOf(error: unknown): number {
  const code = codeOf(error);
  return code === undefined ? 500 : statuses[code];
}
