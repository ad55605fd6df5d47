import type { FileHandle } from 'node:fs/promises';
import { logMarks } from './log-batch.ts';
import { type LogLineHead, readHead } from './log-line.ts';
import { timeOfLine } from './log-time.ts';

const block = 64 * 1024;
const lineFeed = 0x0a;
/** Of a line whose end was looked at in a later block, this much of its beginning is kept: its head. */
const longestHead = 128;
/** How far before a tail the beginnings of its lines are looked for, where the other stream wrote between. */
const furthestBeginning = 256 * 1024;

/** Files of a log that are read one after the other as if they were one: offsets count through all of them. */
export interface LogExtent {
  readonly handle: FileHandle;
  /** Where the file begins and, as it was when it was opened, ends. */
  readonly start: number;
  readonly end: number;
}

/** Where reading begins, and the first byte of each stream (stdout, stderr) that is wanted. */
export interface LogPosition {
  readonly start: number;
  readonly wanted: readonly [number, number];
}

/**
 * Where the last `count` lines begin; `extents` are oldest first. A line stands where it ends, as docker has it: where
 * both streams write at once, its pieces may lie between lines that are older. Reads backwards, by blocks.
 */
export async function tailPosition(extents: readonly LogExtent[], count: number): Promise<LogPosition> {
  const end = extents.at(-1)?.end ?? 0;
  if (count <= 0) return { start: end, wanted: [end, end] };
  const tail = new Tail(count, end);
  for (const extent of [...extents].reverse()) if (await scanBackwards(extent, tail)) break;
  return tail.position();
}

/** The lines at the end of a log, taken from the newest on. */
class Tail {
  readonly #count: number;
  readonly #head: LogLineHead = { content: 0, marks: 0 };
  /** Of stdout and stderr: the oldest piece of a counted line, and whether that line may begin before it. */
  readonly #pieces: [number | undefined, number | undefined] = [undefined, undefined];
  readonly #open: [boolean, boolean] = [false, false];
  #lines = 0;
  #first: number;

  constructor(count: number, end: number) {
    this.#count = count;
    this.#first = end;
  }

  /** Takes the next older line of the file, which stands at `offset` of the log; true when the tail is known. */
  take(data: Buffer, start: number, end: number, offset: number): boolean {
    const known = readHead(data, start, end, this.#head);
    const stream = (this.#head.marks & logMarks.stderr) === 0 ? 0 : 1;
    const partial = (this.#head.marks & logMarks.partial) !== 0;
    if (known && partial && this.#pieces[stream] !== undefined) {
      if (this.#open[stream]) this.#pieces[stream] = offset;
    } else {
      if (known) this.#open[stream] = false;
      // What is no log line counts as one.
      if (this.#lines < this.#count) {
        this.#lines++;
        this.#first = offset;
        if (known) {
          this.#pieces[stream] = offset;
          this.#open[stream] = true;
        }
      }
    }
    if (this.#lines < this.#count) return false;
    return !(this.#open[0] || this.#open[1]) || this.#first - offset > furthestBeginning;
  }

  position(): LogPosition {
    if (this.#lines < this.#count) return { start: 0, wanted: [0, 0] };
    const wanted = [this.#pieces[0] ?? this.#first, this.#pieces[1] ?? this.#first] as const;
    return { start: Math.min(...wanted, this.#first), wanted };
  }
}

/** Gives a file's lines to `tail`, the last one first; true when that wants no more. */
async function scanBackwards({ handle, start, end }: LogExtent, tail: Tail): Promise<boolean> {
  let rest: Buffer = Buffer.alloc(0);
  let lastFeed = false;
  for (let upper = end - start; upper > 0; ) {
    const lower = Math.max(upper - block, 0);
    const chunk = Buffer.concat([await readAt(handle, lower, upper - lower), rest]);
    // The feed that ends the line before the one at hand.
    let feed = chunk.length - rest.length;
    let lineEnd = chunk.length;
    for (;;) {
      feed = feed <= 0 ? -1 : chunk.lastIndexOf(lineFeed, feed - 1);
      if (feed < 0 && lower > 0) break;
      // A torn line at the very end is none yet.
      if (lastFeed && tail.take(chunk, feed + 1, lineEnd, start + lower + feed + 1)) return true;
      if (feed < 0) return false;
      lastFeed = true;
      lineEnd = feed;
    }
    rest = Buffer.from(chunk.subarray(0, Math.min(lineEnd, longestHead)));
    upper = lower;
  }
  return false;
}

/**
 * Where lines of `since` (ms) and later begin, as far as a search by halves finds it: some lines before it may come
 * first. Relies on times that do not go back.
 */
export async function sincePosition(extents: readonly LogExtent[], since: number): Promise<number> {
  for (const extent of [...extents].reverse()) {
    const first = await lineAfter(extent.handle, 0);
    if (first === undefined || first.time >= since) continue;
    let lower = first.start;
    let upper = extent.end - extent.start;
    while (upper - lower > block) {
      const middle = lower + Math.floor((upper - lower) / 2);
      const line = await lineAfter(extent.handle, middle);
      if (line !== undefined && line.time < since && line.start < upper) lower = line.start;
      else upper = middle;
    }
    return extent.start + lower;
  }
  return 0;
}

/** The first whole log line that begins after `offset` (or there, at the beginning of the file) and its time. */
async function lineAfter(
  handle: FileHandle,
  offset: number,
): Promise<{ readonly start: number; readonly time: number } | undefined> {
  const chunk = await readAt(handle, offset, block);
  const head: LogLineHead = { content: 0, marks: 0 };
  let start = offset === 0 ? 0 : chunk.indexOf(lineFeed) + 1;
  if (offset > 0 && start === 0) return undefined;
  for (;;) {
    const end = chunk.indexOf(lineFeed, start);
    if (end < 0) return undefined;
    if (readHead(chunk, start, end, head)) {
      const time = timeOfLine(chunk, start, end);
      if (!Number.isNaN(time)) return { start: offset + start, time };
    }
    start = end + 1;
  }
}

async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
}
