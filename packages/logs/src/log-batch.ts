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

/** The entries of a batch as objects, for whoever looks at single lines. */
export function* logEntries({ data, count, index }: LogBatch): Generator<LogEntry, void, undefined> {
  for (let at = 0; at < count * logFields; at += logFields) {
    const marks = index[at + 3]!;
    const start = index[at]!;
    yield {
      stream: (marks & logMarks.stderr) === 0 ? 'stdout' : 'stderr',
      time: data.toString('latin1', start, data.indexOf(0x20, start)),
      content: data.subarray(index[at + 1], index[at + 2]),
      partial: (marks & logMarks.partial) !== 0,
    };
  }
}
