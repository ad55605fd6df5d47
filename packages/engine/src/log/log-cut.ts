import { type FileHandle, open, rename, rm, stat, utimes } from 'node:fs/promises';
import type { LogLimits } from './log-limits.ts';

const blockBytes = 256 << 10;
const newline = 0x0a;
/** What a line takes more in docker's json-file, by whose sizes users reckon, than in the monitor's format. */
const jsonOverhead = 24;

/**
 * Leaves of a file that nobody writes to what `files` rotated files would hold, had it been rotated at each moment that
 * it was full: its last lines. The file is replaced in one step; whoever reads it reads the old one to its end, and
 * knows the new one for older by its time. Gives how many files' worth is left.
 */
export async function cutLog(path: string, { maxBytes }: LogLimits, files: number): Promise<number> {
  const source = await open(path, 'r');
  const temporary = `${path}.cut`;
  try {
    const { size, mtimeMs } = await source.stat();
    const { starts, count } = await pieceStarts(source, size, maxBytes, files);
    const first = starts[0] ?? 0;
    if (first === 0) return count;
    await copyRange(source, first, size, temporary);
    const before = (Math.floor(mtimeMs) - 1) / 1000;
    await utimes(temporary, before, before);
    await rename(temporary, path);
    return starts.length;
  } finally {
    await rm(temporary, { force: true });
    await source.close();
  }
}

/** Where the last `files` pieces begin, and how many there are in all (of those looked at). */
async function pieceStarts(
  source: FileHandle,
  size: number,
  maxBytes: number,
  files: number,
): Promise<{ readonly starts: readonly number[]; readonly count: number }> {
  // A burst may be far beyond what is kept: there it does not matter where exactly pieces begin.
  const skipped = Math.max(0, size - 4 * files * (maxBytes + blockBytes));
  const starts: number[] = [];
  let [count, filled, lineStart, aligned] = [0, maxBytes, skipped, skipped === 0];
  for await (const { at, block } of blocks(source, skipped, size)) {
    for (let end = block.indexOf(newline); end >= 0; end = block.indexOf(newline, end + 1)) {
      const next = at + end + 1;
      if (aligned) {
        if (filled >= maxBytes) {
          starts.push(lineStart);
          if (starts.length > files) starts.shift();
          count++;
          filled = 0;
        }
        filled += next - lineStart + jsonOverhead;
      }
      aligned = true;
      lineStart = next;
    }
  }
  return { starts, count };
}

async function* blocks(
  source: FileHandle,
  from: number,
  to: number,
): AsyncGenerator<{ readonly at: number; readonly block: Buffer }> {
  for (let at = from; at < to; ) {
    const { bytesRead, buffer } = await source.read(Buffer.allocUnsafe(Math.min(blockBytes, to - at)), {
      position: at,
    });
    if (bytesRead === 0) return;
    yield { at, block: buffer.subarray(0, bytesRead) };
    at += bytesRead;
  }
}

async function copyRange(source: FileHandle, from: number, to: number, path: string): Promise<void> {
  const { mode } = await source.stat();
  const target = await open(path, 'w', mode & 0o777);
  try {
    for await (const { block } of blocks(source, from, to)) await target.writeFile(block);
  } finally {
    await target.close();
  }
}

/** Bytes of a file; `undefined` when it is not there. */
export async function fileSize(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
