import { type LogBatch, logFields, logMarks } from './log-batch.ts';
import { type LogLineHead, nextLineFeed, readHead } from './log-line.ts';
import { timeOfLine } from './log-time.ts';

/** Which lines are wanted. Times in ms. */
export interface LogFilter {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  /** Offsets in the log from which on lines of stdout and of stderr are wanted. */
  readonly wanted: readonly [number, number];
}

/** Turns blocks of a log, one after the other, into batches of what is wanted of them. */
export class LogParser {
  readonly #filter: LogFilter;
  readonly #head: LogLineHead = { content: 0, marks: 0 };
  /** By stream: whether its last entry was partial. */
  readonly #partial: [boolean, boolean] = [false, false];
  #done = false;

  constructor(filter: LogFilter) {
    this.#filter = filter;
  }

  /** Whether a line later than `until` was met: no more will be wanted. */
  get done(): boolean {
    return this.#done;
  }

  /** Parses the whole lines that stand before `end` in `data`, which begins at `offset` of the log. */
  parse(data: Buffer, end: number, offset: number): LogBatch {
    const head = this.#head;
    let index: Int32Array = new Int32Array(Math.max(end >> 6, 16) * logFields);
    let at = 0;
    for (let start = 0; start < end && !this.#done; ) {
      const known = readHead(data, start, end, head);
      // No head holds a line feed.
      const feed = nextLineFeed(data, known ? head.content : start, end);
      if (known && this.#take(data, start, feed, offset)) {
        if (at === index.length) index = grown(index);
        index[at] = start;
        index[at + 1] = head.content;
        index[at + 2] = (head.marks & logMarks.partial) === 0 ? feed + 1 : feed;
        index[at + 3] = head.marks;
        at += logFields;
      }
      start = feed + 1;
    }
    return { data, count: at / logFields, index };
  }

  /** Whether the line is wanted; marks it where it goes on with an earlier one. */
  #take(data: Buffer, start: number, end: number, offset: number): boolean {
    const head = this.#head;
    const { stdout, stderr, since, until, wanted } = this.#filter;
    const stream = (head.marks & logMarks.stderr) === 0 ? 0 : 1;
    if (this.#partial[stream]) head.marks |= logMarks.continues;
    this.#partial[stream] = (head.marks & logMarks.partial) !== 0;
    if (offset + start < wanted[stream]) return false;
    if (since !== undefined || until !== undefined) {
      const time = timeOfLine(data, start, end);
      if (until !== undefined && time > until) {
        this.#done = true;
        return false;
      }
      if (since !== undefined && time < since) return false;
    }
    return stream === 0 ? stdout : stderr;
  }
}

function grown(index: Int32Array): Int32Array {
  const larger = new Int32Array(index.length * 2);
  larger.set(index);
  return larger;
}
