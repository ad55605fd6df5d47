import { type Clock, systemClock } from '@wherry/base';
import type { LogBatch } from './log-batch.ts';
import { LogBlocks } from './log-blocks.ts';
import { closeLogFiles, type LogFile, openLogFiles, openNewerLogFiles } from './log-files.ts';
import { LogParser } from './log-parser.ts';
import { type LogExtent, type LogPosition, sincePosition, tailPosition } from './log-position.ts';
import { LogWatch } from './log-watch.ts';

/** What to read of a container's log. Times are in ms since the epoch. */
export interface ReadLogOptions {
  readonly follow?: boolean | undefined;
  /** Number of last lines, of both streams; default all. What `since` and `until` leave out counts, too. */
  readonly tail?: number | undefined;
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Ends a `follow` when the log will not grow any more: all that is there is still given. */
  readonly ended?: Promise<void> | undefined;
  /** Ends reading at once. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

/**
 * Reads the log that conmon writes to `path` and its rotated files `PATH.N` … `PATH.1`, oldest lines first. It may be
 * rotated meanwhile: nothing is lost, nothing comes twice. A log that is not there is empty. The memory of a batch is
 * the taker's.
 */
export async function* readLog(path: string, options: ReadLogOptions): AsyncGenerator<LogBatch, void, undefined> {
  // Watched before it is read, so that no change falls between.
  using watch = options.follow === true ? new LogWatch(path) : undefined;
  const reading = await LogReading.open(path, options);
  try {
    if (watch === undefined) yield* reading.rest(true);
    else yield* followed(reading, watch, options);
  } finally {
    await reading.close();
  }
}

async function* followed(
  reading: LogReading,
  watch: LogWatch,
  { ended, until, signal, clock = systemClock }: ReadLogOptions,
): AsyncGenerator<LogBatch, void, undefined> {
  let over = false;
  const end = (): void => {
    over = true;
    watch.note();
  };
  void ended?.then(end, end);
  signal?.addEventListener('abort', end);
  try {
    for (;;) {
      // Looked at before the file, so nothing that was written before the end is lost.
      const last = over || (until !== undefined && clock.now() > until);
      const seen = watch.changes;
      yield* reading.rest(false);
      if (reading.done || signal?.aborted === true) return;
      if (await reading.enterNewer()) continue;
      if (last) return;
      await watch.changedSince(seen);
    }
  } finally {
    signal?.removeEventListener('abort', end);
  }
}

/** The files of a log while they are read one after the other. */
class LogReading {
  readonly #path: string;
  readonly #parser: LogParser;
  readonly #signal: AbortSignal | undefined;
  /** The one that is read, and those after it, as they were found. */
  #files: LogFile[];
  #blocks: LogBlocks | undefined;
  /** Where the file that is read begins in the log. */
  #base: number;

  private constructor(
    path: string,
    files: LogFile[],
    { parser, base, start }: { parser: LogParser; base: number; start: number },
    signal: AbortSignal | undefined,
  ) {
    this.#path = path;
    this.#files = files;
    this.#parser = parser;
    this.#base = base;
    this.#signal = signal;
    if (files[0] !== undefined) this.#blocks = new LogBlocks(files[0].handle, base, start - base, parser);
  }

  static async open(path: string, options: ReadLogOptions): Promise<LogReading> {
    const files = await openLogFiles(path);
    try {
      const extents = extentsOf(files);
      const { start, wanted } = await positionOf(extents, options);
      const first = Math.max(
        extents.findIndex(({ end }) => start < end),
        // At the very end, or a log without files.
        start > 0 && start === extents.at(-1)?.end ? extents.length - 1 : 0,
      );
      await closeLogFiles(files.splice(0, first));
      const { stdout, stderr, since, until } = options;
      const parser = new LogParser({ stdout, stderr, since, until, wanted });
      return new LogReading(path, files, { parser, base: extents[first]?.start ?? 0, start }, options.signal);
    } catch (error) {
      await closeLogFiles(files);
      throw error;
    }
  }

  get done(): boolean {
    return this.#parser.done;
  }

  /**
   * What there is of the files that are open. `bounded`: of the newest as much as it had when it was opened, so that
   * reading a log that grows comes to an end.
   */
  async *rest(bounded: boolean): AsyncGenerator<LogBatch, void, undefined> {
    for (;;) {
      const newest = this.#files.length <= 1;
      for await (const batch of this.#blocks?.read(bounded && newest ? this.#files[0]?.size : undefined) ?? []) {
        if (this.#signal?.aborted === true) return;
        yield batch;
      }
      if (newest || this.done) return;
      await this.#next();
    }
  }

  /** Goes on with the files that a rotation has brought; false when there are none. What was left must be read. */
  async enterNewer(): Promise<boolean> {
    const current = this.#files[0];
    const newer = current === undefined ? await openLogFiles(this.#path) : await openNewerLogFiles(this.#path, current);
    if (newer.length === 0) return false;
    this.#files.push(...newer);
    // Between the last read and the rotation the monitor may have written more to the old file: `rest` reads on there.
    if (current === undefined) this.#blocks = new LogBlocks(newer[0]!.handle, this.#base, 0, this.#parser);
    return true;
  }

  async close(): Promise<void> {
    await closeLogFiles(this.#files.splice(0));
  }

  async #next(): Promise<void> {
    const old = this.#files.shift()!;
    this.#base += Math.max(old.size, 0);
    await old.handle.close();
    this.#blocks = new LogBlocks(this.#files[0]!.handle, this.#base, 0, this.#parser);
  }
}

function extentsOf(files: readonly LogFile[]): LogExtent[] {
  let start = 0;
  return files.map(({ handle, size }) => {
    const extent = { handle, start, end: start + size };
    start += size;
    return extent;
  });
}

async function positionOf(extents: readonly LogExtent[], { tail, since }: ReadLogOptions): Promise<LogPosition> {
  if (tail !== undefined) return tailPosition(extents, tail);
  if (since === undefined) return { start: 0, wanted: [0, 0] };
  const start = await sincePosition(extents, since);
  return { start, wanted: [start, start] };
}
