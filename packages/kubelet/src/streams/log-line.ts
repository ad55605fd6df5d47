/** One line of a CRI log: `2026-01-01T00:00:00.000000000Z stdout F text`. */
export interface LogLine {
  /** As written, RFC 3339 with nanoseconds. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  /** The text goes on in the stream's next line: no line feed belongs to it. */
  readonly partial: boolean;
  readonly text: Buffer;
}

const space = 0x20;

/** Parses a line without its line feed; `undefined` for what is none (a torn write after a crash). */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(space);
  const second = first < 0 ? -1 : line.indexOf(space, first + 1);
  if (second < 0) return undefined;
  let third = line.indexOf(space, second + 1);
  if (third < 0) third = line.length;
  const stream = line.toString('latin1', first + 1, second);
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const tags = line.toString('latin1', second + 1, third);
  return {
    time: line.toString('latin1', 0, first),
    stream,
    partial: tags.split(':')[0] === 'P',
    text: line.subarray(Math.min(third + 1, line.length)),
  };
}
