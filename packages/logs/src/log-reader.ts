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

/**
 * Many entries at once, as they stand in a block of the file: whoever passes a log on turns blocks into bytes for the
 * wire (`framedLog`, `plainLog`), which works in place and makes no object for a line.
 */
export interface LogBatch {
  readonly data: Buffer;
  readonly count: number;
  /** `logFields` numbers for each entry: start of the line (its time), start and end of the content, marks. */
  readonly index: Int32Array;
}

/** Numbers of one entry in `LogBatch.index`. */
export const logFields = 4;

/** Bits of an entry's marks. `continues`: it goes on with a line of its stream that began before. */
export const logMarks = { stderr: 1, partial: 2, continues: 4 } as const;

/** How lines are written out. */
export interface LogStyle {
  /** Each line begins with its time in UTC and a space. */
  readonly timestamps?: boolean | undefined;
  /** Stands at the beginning of each line, after the time (docker's `details`). */
  readonly details?: string | undefined;
}

// readLog(path, options): AsyncGenerator<LogBatch>
// framedLog(batches, style): AsyncGenerator<Buffer>; plainLog(batches, style): AsyncGenerator<Buffer>
