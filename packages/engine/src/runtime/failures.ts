import { getSystemErrorMap } from 'node:util';
import { messageOf, WherryError } from '@wherry/base';

/**
 * What the engine refuses in an OCI runtime's place, in runc's words, which users know: the same failures as of a
 * runtime's create, with `details.reason` (and `details.stage`) for whoever words them for a client of its own.
 */
function createFailure(stage: 'checking' | 'starting', reason: string, cause: unknown): WherryError {
  const text = stage === 'starting' ? `unable to start container process: ${reason}` : reason;
  return new WherryError(
    'invalid',
    `failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: ${text}: unknown`,
    { cause, details: { reason, stage } },
  );
}

/** The configuration itself cannot be. */
export function refusedBefore(reason: string): WherryError {
  return createFailure('checking', reason, undefined);
}

/** The container's first process could not be started. */
export function startFailed(reason: string, cause?: unknown): WherryError {
  return createFailure('starting', reason, cause);
}

/** Its namespaces could not be set up. */
export function failedInside(reason: string, cause?: unknown): WherryError {
  return startFailed(`error during container init: ${reason}`, cause);
}

/** A system error's text as Go has it: `no such file or directory`. */
export function errorText(error: unknown): string {
  const { errno } = error as { errno?: unknown };
  const known = typeof errno === 'number' ? getSystemErrorMap().get(errno)?.[1] : undefined;
  return known ?? messageOf(error);
}
