import type { V1Status } from '@wherry/api';
import { messageOf } from '@wherry/base';

/** What the error channel says at the end of a command (remotecommand v4). */
export function exitStatus(code: number): V1Status {
  if (code === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
  };
}

/** What it says when the command could not run. */
export function failureStatus(doing: 'executing command in' | 'attaching to', error: unknown): V1Status {
  const cause = `error ${doing} container: ${messageOf(error)}`;
  const prefix = 'Internal error occurred: ';
  return {
    metadata: {},
    status: 'Failure',
    message: doing === 'executing command in' ? `${prefix}${prefix}${cause}` : `${prefix}${cause}`,
    reason: 'InternalError',
    details: { causes: [{ message: cause }] },
    code: 500,
  };
}
