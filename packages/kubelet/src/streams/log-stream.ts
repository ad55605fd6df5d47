import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Readable } from 'node:stream';
import { type Clock, errnoOf } from '@wherry/base';
import type { LogOptions } from '@wherry/runtime';
import { type LogLine, logTime, parseLogLine } from './log-line.ts';
import { tailOffset } from './log-tail.ts';

const block = 64 * 1024;
const lineFeed = Buffer.from('\n');
const longestLine = 1 << 20;

export interface LogSource {
  /** Absolute path of a CRI log. */
  readonly path: string;
  readonly clock: Clock;
  /** Whether the container still writes; asked when the end of the file is reached. */
  readonly running: () => Promise<boolean>;
  /** Ends following: fires when the container ended. */
  readonly ended: AbortSignal;
}

/** A container's log as the API's `log` subresource gives it. The file is read as the reader takes it. */
export function logStream(source: LogSource, options: LogOptions, signal: AbortSignal): Readable {
  return Readable.from(limited(texts(source, options, signal), options.limitBytes), { objectMode: false });
}

async function* limited(parts: AsyncIterable<Buffer>, limit: number | undefined): AsyncGenerator<Buffer> {
  let left = limit ?? Number.POSITIVE_INFINITY;
  for await (const part of parts) {
    yield part.length <= left ? part : part.subarray(0, left);
    left -= part.length;
    if (left <= 0) return;
  }
}

async function* texts(source: LogSource, options: LogOptions, signal: AbortSignal): AsyncGenerator<Buffer> {
  const since =
    options.sinceTime ??
    (options.sinceSeconds === undefined ? undefined : source.clock.now() - options.sinceSeconds * 1000);
  const wanted = options.stream === undefined || options.stream === 'All' ? undefined : options.stream.toLowerCase();
  let continues = false;
  let out: Buffer[] = [];
  let size = 0;
  for await (const line of lines(source, options, signal)) {
    if (line !== 'pause') {
      if (wanted !== undefined && line.stream !== wanted) continue;
      if (since !== undefined && logTime(line.time) < since) continue;
      if (options.timestamps && !continues) out.push(Buffer.from(`${line.time.replace(/\+00:00$/, 'Z')} `));
      out.push(line.text);
      if (!line.partial) out.push(lineFeed);
      continues = line.partial;
      size += line.text.length + 40;
    }
    if (out.length > 0 && (line === 'pause' || size >= block)) {
      yield Buffer.concat(out);
      out = [];
      size = 0;
    }
  }
  if (out.length > 0) yield Buffer.concat(out);
}

/** The lines of the log; `pause` when what there is has been given. */
async function* lines(source: LogSource, options: LogOptions, signal: AbortSignal): AsyncGenerator<LogLine | 'pause'> {
  using wake = options.follow ? new FileWatch(source.path, [signal, source.ended]) : undefined;
  let file: FileHandle | undefined;
  try {
    file = await openLog(source.path);
    let offset = file && options.tailLines !== undefined ? await tailOffset(file, options.tailLines) : 0;
    let rest: Buffer = Buffer.alloc(0);
    while (!signal.aborted) {
      const chunk = file && (await readAt(file, offset));
      if (chunk !== undefined && chunk.length > 0) {
        offset += chunk.length;
        const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        rest = yield* split(data);
        if (rest.length > longestLine) rest = Buffer.alloc(0); // no line of a CRI log is that long
        continue;
      }
      yield 'pause';
      if (wake === undefined) return;
      if (file === undefined || (await replaced(file, source.path))) {
        await file?.close();
        file = await openLog(source.path);
        if (file !== undefined) {
          offset = 0;
          rest = Buffer.alloc(0);
          continue;
        }
      }
      if (wake.take()) continue;
      // The check comes after a look at the file, so nothing that was written before the end is lost.
      if (source.ended.aborted || !(await source.running())) {
        if (wake.take() || (file && (await readAt(file, offset)).length > 0)) continue;
        return;
      }
      await wake.changed();
    }
  } finally {
    await file?.close();
  }
}

function* split(data: Buffer): Generator<LogLine, Buffer> {
  let at = 0;
  for (;;) {
    const feed = data.indexOf(0x0a, at);
    if (feed < 0) return data.subarray(at);
    const line = parseLogLine(data.subarray(at, feed));
    if (line) yield line;
    at = feed + 1;
  }
}

async function openLog(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function readAt(file: FileHandle, offset: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(block), 0, block, offset);
  return buffer.subarray(0, bytesRead);
}

/** Whether the log was rotated: another file has its name. */
async function replaced(file: FileHandle, path: string): Promise<boolean> {
  try {
    const [now, then] = await Promise.all([stat(path), file.stat()]);
    return now.ino !== then.ino;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Remembers that a file changed (inotify on its folder: rotation replaces the file). */
class FileWatch implements Disposable {
  #watcher: FSWatcher | undefined;
  #changed = false;
  #wake: (() => void) | undefined;
  readonly #signals: readonly AbortSignal[];
  readonly #note = (): void => {
    this.#changed = true;
    this.#wake?.();
  };

  constructor(path: string, signals: readonly AbortSignal[]) {
    this.#signals = signals;
    const name = basename(path);
    try {
      this.#watcher = watch(dirname(path), { persistent: false }, (_event, changed) => {
        if (changed === null || changed === name) this.#note();
      });
      this.#watcher.on('error', this.#note);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    for (const signal of signals) signal.addEventListener('abort', this.#note);
  }

  /** Whether something changed since the last call. */
  take(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  async changed(): Promise<void> {
    if (this.#changed || this.#signals.some((signal) => signal.aborted)) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#note);
  }
}
