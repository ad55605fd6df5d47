import type { FileHandle } from 'node:fs/promises';
import type { LogBatch } from './log-batch.ts';
import type { LogParser } from './log-parser.ts';

const block = 256 * 1024;
/** No line of a log is longer: what is goes unread. */
const longestLine = 1 << 20;

/**
 * Reads one file of a log in blocks and has them parsed, the next one being read meanwhile. A line that is not whole
 * waits for the rest of it. `read` may be called again when the file has grown.
 */
export class LogBlocks {
  readonly #handle: FileHandle;
  /** Of the file's beginning in the log. */
  #base: number;
  readonly #parser: LogParser;
  #offset: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(handle: FileHandle, base: number, offset: number, parser: LogParser) {
    this.#handle = handle;
    this.#base = base;
    this.#offset = offset;
    this.#parser = parser;
  }

  /** Batches up to the offset `limit`, or to the end of the file. */
  async *read(limit = Number.POSITIVE_INFINITY): AsyncGenerator<LogBatch, void, undefined> {
    await this.#restartWhenCut();
    let next = this.#next(limit);
    for (;;) {
      const chunk = await next;
      if (chunk.length === this.#rest.length) return;
      this.#offset += chunk.length - this.#rest.length;
      const end = chunk.lastIndexOf(0x0a) + 1;
      this.#rest = chunk.subarray(end);
      if (this.#rest.length > longestLine) this.#rest = this.#rest.subarray(0, 0);
      next = this.#next(limit);
      // Whoever takes no more leaves this one behind.
      next.catch(() => undefined);
      if (end === 0) continue;
      const batch = this.#parser.parse(chunk, end, this.#base + this.#offset - chunk.length);
      if (batch.count > 0) yield batch;
      if (this.#parser.done) return;
    }
  }

  /** What is left of the line before, and the bytes that follow it in the file. */
  async #next(limit: number): Promise<Buffer> {
    const kept = this.#rest.length;
    const wanted = Math.min(block, limit - this.#offset);
    const buffer = Buffer.allocUnsafeSlow(kept + Math.max(wanted, 0));
    this.#rest.copy(buffer);
    this.#rest = buffer.subarray(0, kept);
    if (wanted <= 0) return this.#rest;
    const { bytesRead } = await this.#handle.read(buffer, kept, wanted, this.#offset);
    return buffer.subarray(0, kept + bytesRead);
  }

  /** Somebody emptied the file in place (`truncate`): it begins anew. */
  async #restartWhenCut(): Promise<void> {
    if (this.#offset === 0 || (await this.#handle.stat()).size >= this.#offset) return;
    this.#base += this.#offset;
    this.#offset = 0;
    this.#rest = Buffer.alloc(0);
  }
}
