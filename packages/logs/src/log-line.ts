import { logMarks } from './log-batch.ts';

const space = 0x20;
const lineFeed = 0x0a;
const hyphen = 0x2d;
const colon = 0x3a;
const shortestTags = ' stdout F'.length;

/** Where the content of a log line begins, and its marks. */
export interface LogLineHead {
  content: number;
  marks: number;
}

/**
 * Reads the head of the CRI log line (`2026-01-01T00:00:00.000000000Z stdout F text`) at `start` into `head`. `end` is
 * that of the line or of lines that follow it. False for what is no log line: a torn write after a crash.
 */
export function readHead(data: Uint8Array, start: number, end: number, head: LogLineHead): boolean {
  // conmon writes nanoseconds and the offset from UTC: 35 bytes.
  let at = start + 35;
  if (data[start + 4] !== hyphen || !isStream(data, at)) {
    at = wordEnd(data, start, end);
    if (!isStream(data, at)) return false;
  }
  if (at + shortestTags > end) return false;
  const tag = data[at + 8];
  head.marks = (data[at + 4] === 0x65 ? logMarks.stderr : 0) | (tag === 0x50 ? logMarks.partial : 0); // `e`, `P`
  // More tags may follow after a colon, and an empty line may end without the space.
  const tagEnd = data[at + 9] === space ? at + 9 : wordEnd(data, at + 9, end);
  if (tagEnd > at + 9 && data[at + 9] !== colon) return false;
  head.content = tagEnd < end && data[tagEnd] === space ? tagEnd + 1 : tagEnd;
  return true;
}

/** ` stdout ` or ` stderr ` at `at`. */
function isStream(data: Uint8Array, at: number): boolean {
  if (data[at] !== space || data[at + 1] !== 0x73 || data[at + 2] !== 0x74 || data[at + 3] !== 0x64) return false;
  if (data[at + 7] !== space) return false;
  return data[at + 4] === 0x6f
    ? data[at + 5] === 0x75 && data[at + 6] === 0x74
    : data[at + 4] === 0x65 && data[at + 5] === 0x72 && data[at + 6] === 0x72;
}

function wordEnd(data: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && data[at] !== space && data[at] !== lineFeed) at++;
  return at;
}

/** Looks this far byte by byte; for longer lines the search of the library is faster. */
const nearby = 96;

/** The next line feed at or after `start`, or −1. `data` holds none at or after `end`. */
export function nextLineFeed(data: Buffer, start: number, end: number): number {
  const near = Math.min(start + nearby, end);
  for (let at = start; at < near; at++) if (data[at] === lineFeed) return at;
  return near === end ? -1 : data.indexOf(lineFeed, near);
}
