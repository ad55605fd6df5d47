import { type FileHandle, open } from 'node:fs/promises';
import { parseLogLine } from './log-line.ts';

const block = 64 * 1024;
const lineFeed = 0x0a;

/**
 * The offset at which the last `count` lines of a file begin. Reads backwards, twice as much each
 * time. A line that continues the one before it (`P`) belongs to it and does not count.
 */
export async function tailOffset(file: FileHandle, count: number): Promise<number> {
  const { size } = await file.stat();
  if (count <= 0) return size;
  for (let length = block; ; length *= 2) {
    const start = Math.max(size - length, 0);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    const offset = lineStart(buffer.subarray(0, bytesRead), count, start === 0);
    if (offset !== undefined) return start + offset;
  }
}

/** Where the last `count` lines of a chunk begin; `undefined` when the chunk, not `whole`, may hold fewer. */
function lineStart(chunk: Buffer, count: number, whole: boolean): number | undefined {
  let found = 0;
  // The line feed at the very end begins no line.
  let feed = chunk.length < 2 ? -1 : chunk.lastIndexOf(lineFeed, chunk.length - 2);
  while (feed >= 0) {
    const before = feed === 0 ? -1 : chunk.lastIndexOf(lineFeed, feed - 1);
    if (before < 0 && !whole) return undefined;
    if (parseLogLine(chunk.subarray(before + 1, feed))?.partial !== true && ++found === count) return feed + 1;
    feed = before;
  }
  return whole ? 0 : undefined;
}

/** The texts of the last lines of a CRI log, joined as the container wrote them. Empty when it cannot be read. */
export async function tailLines(path: string, count: number): Promise<string> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch {
    return '';
  }
  try {
    const offset = await tailOffset(file, count);
    const { size } = await file.stat();
    const length = Math.min(size - offset, 1 << 20);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    const parts: Buffer[] = [];
    for (let at = 0; at < bytesRead; ) {
      const feed = buffer.indexOf(lineFeed, at);
      if (feed < 0 || feed >= bytesRead) break;
      const line = parseLogLine(buffer.subarray(at, feed));
      if (line) parts.push(line.text, ...(line.partial ? [] : [Buffer.from('\n')]));
      at = feed + 1;
    }
    return Buffer.concat(parts).toString();
  } finally {
    await file.close();
  }
}
