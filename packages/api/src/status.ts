import { type ErrorCode, WherryError } from '@wherry/base';
import type { V1Status } from '../generated/types.ts';
import { causeReasons, type FieldError, fieldErrorBody, fieldErrorText } from './field-error.ts';

/** HTTP status and `Status.reason` for each error code: the one table of the API's edge. */
export const statusTable: Record<ErrorCode, { readonly http: number; readonly reason: string }> = {
  invalid: { http: 400, reason: 'BadRequest' },
  notFound: { http: 404, reason: 'NotFound' },
  alreadyExists: { http: 409, reason: 'AlreadyExists' },
  conflict: { http: 409, reason: 'Conflict' },
  gone: { http: 410, reason: 'Expired' },
  unauthorized: { http: 401, reason: 'Unauthorized' },
  forbidden: { http: 403, reason: 'Forbidden' },
  tooLarge: { http: 413, reason: 'RequestEntityTooLarge' },
  exhausted: { http: 507, reason: 'InsufficientStorage' },
  timeout: { http: 504, reason: 'Timeout' },
  cancelled: { http: 499, reason: 'ClientClosedRequest' },
  unavailable: { http: 503, reason: 'ServiceUnavailable' },
  unsupported: { http: 405, reason: 'MethodNotAllowed' },
  corrupt: { http: 500, reason: 'InternalError' },
  internal: { http: 500, reason: 'InternalError' },
};

/** An API failure that carries its whole `Status`; `overrides` replace what the table gives. */
export function statusError(
  code: ErrorCode,
  message: string,
  overrides: Partial<V1Status> = {},
  cause?: unknown,
): WherryError {
  const row = statusTable[code];
  const status: V1Status = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: row.reason,
    code: row.http,
    ...overrides,
  };
  return new WherryError(code, message, { details: { status }, cause });
}

/** The `Status` for anything that was thrown. */
export function statusOf(error: unknown): V1Status {
  if (error instanceof Error && error.name === 'WherryError') {
    const known = error as WherryError;
    const whole = known.details?.status as V1Status | undefined;
    return whole ?? (statusError(known.code, known.message).details!.status as V1Status);
  }
  return statusError('internal', `Internal error occurred: ${error instanceof Error ? error.message : String(error)}`)
    .details!.status as V1Status;
}

interface Named {
  readonly group: string;
  readonly resource: string;
  readonly kind?: string;
}

/** `pods "x" not found`, with group as in `deployments.apps "x" not found`. */
export function notFoundError(of: Named, name: string): WherryError {
  const qualified = of.group === '' ? of.resource : `${of.resource}.${of.group}`;
  return statusError('notFound', `${qualified} ${JSON.stringify(name)} not found`, {
    details: { name, kind: of.resource, ...(of.group === '' ? {} : { group: of.group }) },
  });
}

export function alreadyExistsError(of: Named, name: string): WherryError {
  const qualified = of.group === '' ? of.resource : `${of.resource}.${of.group}`;
  return statusError('alreadyExists', `${qualified} ${JSON.stringify(name)} already exists`, {
    details: { name, kind: of.resource, ...(of.group === '' ? {} : { group: of.group }) },
  });
}

export function conflictError(of: Named, name: string, why: string): WherryError {
  const qualified = of.group === '' ? of.resource : `${of.resource}.${of.group}`;
  return statusError('conflict', `Operation cannot be fulfilled on ${qualified} ${JSON.stringify(name)}: ${why}`, {
    details: { name, kind: of.resource, ...(of.group === '' ? {} : { group: of.group }) },
  });
}

/** 422 `Pod "x" is invalid: …` with one cause a finding. */
export function invalidError(
  of: { readonly group: string; readonly kind: string },
  name: string,
  errors: readonly FieldError[],
): WherryError {
  const texts = [...new Set(errors.map(fieldErrorText))];
  const what = texts.length === 1 ? texts[0]! : `[${texts.join(', ')}]`;
  const qualified = of.group === '' ? of.kind : `${of.kind}.${of.group}`;
  return statusError('invalid', `${qualified} ${JSON.stringify(name)} is invalid: ${what}`, {
    reason: 'Invalid',
    code: 422,
    details: {
      name,
      kind: of.kind,
      ...(of.group === '' ? {} : { group: of.group }),
      causes: errors.map((e) => ({ reason: causeReasons[e.type], message: fieldErrorBody(e), field: e.field })),
    },
  });
}

/** 400 in the server's words. */
export function badRequestError(message: string): WherryError {
  return statusError('invalid', message);
}
