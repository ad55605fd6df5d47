/** What to read of a container's log. Times are in ms since the epoch. */
export interface ReadLogOptions {
  readonly follow?: boolean | undefined;
  /** Number of last lines; default all. */
  readonly tail?: number | undefined;
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Ends a `follow` when the log will not grow any more: all that is there is still given. */
  readonly ended?: Promise<void> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A piece of a log: a line with its end, or a part of a line longer than the monitor's buffer. */
export interface LogEntry {
  readonly stream: 'stdout' | 'stderr';
  /** RFC 3339 with nanoseconds, as the monitor wrote it. */
  readonly time: string;
  readonly content: Buffer;
  /** The line goes on in the next entry of its stream. */
  readonly partial: boolean;
}
