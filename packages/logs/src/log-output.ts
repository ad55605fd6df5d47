import { type LogBatch, logFields, logMarks } from './log-batch.ts';
import { writeTime } from './log-time.ts';

/** How lines are written out. */
export interface LogStyle {
  /** Each line begins with its time in UTC and a space. */
  readonly timestamps?: boolean | undefined;
  /** Stands at the beginning of each line, after the time (docker's `details`). */
  readonly details?: string | undefined;
  /**
   * Lines of a stream that follow each other share a frame: a client copies frames one by one, and many small ones are
   * most of its work. Whoever follows a log may take a frame for a line.
   */
  readonly joined?: boolean | undefined;
}

/** `[stream,0,0,0,len32]` before a content, as the Docker Engine API multiplexes two streams. */
const frameHeader = 8;

/** A log in docker's frames, one for each line unless they are joined, many of them in a buffer. Takes the batches' memory over. */
export async function* framedLog(
  batches: AsyncIterable<LogBatch>,
  style: LogStyle = {},
): AsyncGenerator<Buffer, void, undefined> {
  const write = writer(style, frameHeader);
  for await (const batch of batches) yield write(batch);
}

/** The contents of a log, one after the other. Takes the batches' memory over. */
export async function* plainLog(
  batches: AsyncIterable<LogBatch>,
  style: LogStyle = {},
): AsyncGenerator<Buffer, void, undefined> {
  const write = writer(style, 0);
  for await (const batch of batches) yield write(batch);
}

function writer(style: LogStyle, header: 0 | 8): (batch: LogBatch) => Buffer {
  const details = Buffer.from(style.details ?? '');
  const layout = { header, details, timestamps: style.timestamps === true, joined: style.joined === true };
  return (batch) => compact(details.length === 0 ? batch : withRoom(batch, details.length), layout);
}

interface Layout {
  readonly header: 0 | 8;
  readonly timestamps: boolean;
  readonly details: Buffer;
  readonly joined: boolean;
}

/**
 * Moves the entries of a batch towards its beginning, each behind its frame header, time and details. It never
 * overtakes itself: a frame header is shorter than the stream and tag that follow the time in the file.
 */
function compact({ data, count, index }: LogBatch, { header, timestamps, details, joined }: Layout): Buffer {
  let out = 0;
  let frame = 0;
  let before = 0;
  for (let at = 0; at < count * logFields; at += logFields) {
    const marks = index[at + 3]!;
    const content = index[at + 1]!;
    const end = index[at + 2]!;
    const continues = (marks & logMarks.continues) !== 0;
    // Pieces of a line that follow each other are one frame, as docker has them.
    if ((!continues && !joined) || at === 0 || ((marks ^ before) & logMarks.stderr) !== 0) {
      frame = out;
      out += header;
    }
    before = marks;
    if (!continues) {
      if (timestamps) {
        out += writeTime(data, index[at]!, content, out);
        data[out++] = 0x20;
      }
      if (details.length > 0) {
        data.set(details, out);
        out += details.length;
      }
    }
    if (out !== content) data.copyWithin(out, content, end);
    out += end - content;
    if (header !== 0) writeFrameHeader(data, frame, marks, out - frame - header);
  }
  return data.subarray(0, out);
}

function writeFrameHeader(data: Buffer, frame: number, marks: number, length: number): void {
  data[frame] = (marks & logMarks.stderr) === 0 ? 1 : 2;
  data[frame + 1] = 0;
  data[frame + 2] = 0;
  data[frame + 3] = 0;
  data[frame + 4] = length >>> 24;
  data[frame + 5] = length >>> 16;
  data[frame + 6] = length >>> 8;
  data[frame + 7] = length;
}

/** The same batch with `room` bytes more before each line. */
function withRoom({ data, count, index }: LogBatch, room: number): LogBatch {
  const wide = Buffer.allocUnsafe(data.length + count * room);
  const moved = new Int32Array(count * logFields);
  let out = 0;
  for (let at = 0; at < count * logFields; at += logFields) {
    const start = index[at]!;
    out += room;
    data.copy(wide, out, start, index[at + 2]!);
    moved[at] = out;
    moved[at + 1] = out + index[at + 1]! - start;
    moved[at + 2] = out + index[at + 2]! - start;
    moved[at + 3] = index[at + 3]!;
    out += index[at + 2]! - start;
  }
  return { data: wide, count, index: moved };
}
