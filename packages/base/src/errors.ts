/** What went wrong, as a closed set. Each edge maps these to its protocol in one table. */
export type ErrorCode =
  | 'invalid' // the input is wrong; nothing was changed
  | 'notFound'
  | 'alreadyExists'
  | 'conflict' // the object changed meanwhile, or is in a state that does not allow this
  | 'gone' // the revision asked for was compacted
  | 'unauthorized'
  | 'forbidden'
  | 'tooLarge'
  | 'exhausted' // a bounded resource (addresses, ports, disk) is used up
  | 'timeout'
  | 'cancelled'
  | 'unavailable' // a part that is needed does not answer; trying again may help
  | 'unsupported'
  | 'corrupt' // stored or received data does not verify
  | 'internal';

export interface ErrorOptions {
  readonly cause?: unknown;
  /** Protocol-specific facts for the edge (for example a Kubernetes Status' details). */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error class for expected failures. Test `code`, never the text. */
export class WherryError extends Error {
  override readonly name = 'WherryError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
  }
}

/** The code of an error of ours, or `undefined` for anything else. */
export function codeOf(error: unknown): ErrorCode | undefined {
  return typeof error === 'object' && error !== null && (error as Error).name === 'WherryError'
    ? (error as WherryError).code
    : undefined;
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node system error (`ENOENT`, …), or `undefined`. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** Whether a system call failed for want of space on a disk, or of what a user may take of it. */
export function isDiskFull(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}
