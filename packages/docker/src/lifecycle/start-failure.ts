import { messageOf, WherryError } from '@wherry/base';

/** What dockerd says of a start that failed, and the exit code that the container then has. */
export interface StartFailure {
  readonly error: WherryError;
  readonly exitCode: number;
}

/** The exit code of a start that failed for another reason than its command. */
export const startUnknown = 128;

const missing =
  /executable file not found|no such file or directory|system cannot find the file specified|not a directory/;
const denied = /permission denied|is a directory|exec format error/i;

/** Translates what the engine threw. What the OCI runtime said stands in `details.reason`. */
export function startFailure(thrown: unknown): StartFailure {
  const reason = reasonOf(thrown);
  if (reason === undefined) {
    // Looking up users, volumes and networks: said as it is. dockerd counts unknown users and devices as its own failures.
    const message = messageOf(thrown).replace(/^cannot load seccomp profile: (?=both ')/, '');
    const own =
      /^(?:unable to find (?:user|group) |uids and gids |error gathering device |stat \/|path \/|both ')/.test(message);
    const error =
      thrown instanceof WherryError && !own ? thrown : new WherryError('internal', message, { cause: thrown });
    return { error, exitCode: startUnknown };
  }
  const checking = thrown instanceof WherryError && thrown.details?.stage === 'checking';
  const text = checking ? reason : `unable to start container process: ${reason}`;
  const message = `failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: ${text}: unknown${/not a directory/.test(text) ? wrongKind : ''}`;
  const exitCode = missing.test(reason) ? 127 : denied.test(reason) ? 126 : startUnknown;
  return {
    error: new WherryError(exitCode === startUnknown ? 'internal' : 'invalid', message, { cause: thrown }),
    exitCode,
  };
}

/** What dockerd adds where a folder is not a folder. */
const wrongKind =
  ': Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type';

/** Whatever keeps a command from running, as dockerd counts it. */
const execFailed = 126;

/** The same for a command in a running container. */
export function execFailure(thrown: unknown): StartFailure {
  const reason = reasonOf(thrown);
  if (reason === undefined) {
    const error = thrown instanceof WherryError ? thrown : new WherryError('internal', messageOf(thrown));
    return { error, exitCode: execFailed };
  }
  const message = `OCI runtime exec failed: exec failed: unable to start container process: ${reason}: unknown${/not a directory/.test(reason) ? wrongKind : ''}`;
  return { error: new WherryError('invalid', message, { cause: thrown }), exitCode: execFailed };
}

function reasonOf(thrown: unknown): string | undefined {
  const reason = thrown instanceof WherryError ? thrown.details?.reason : undefined;
  return typeof reason === 'string' ? reason : undefined;
}
