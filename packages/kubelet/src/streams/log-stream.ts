import { Readable } from 'node:stream';
import type { Clock } from '@wherry/base';
import { plainLog, readLog } from '@wherry/logs';
import type { LogOptions } from '@wherry/runtime';

export interface LogSource {
  /** Absolute path of a CRI log. */
  readonly path: string;
  readonly clock: Clock;
  /** Whether the container still writes. */
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

function texts({ path, clock, running, ended }: LogSource, options: LogOptions, signal: AbortSignal) {
  const { follow, tailLines: tail, stream = 'All', timestamps } = options;
  const since =
    options.sinceTime ?? (options.sinceSeconds === undefined ? undefined : clock.now() - options.sinceSeconds * 1000);
  const batches = readLog(path, {
    follow,
    tail,
    since,
    stdout: stream !== 'Stderr',
    stderr: stream !== 'Stdout',
    ended: follow === true ? endOf(running, ended) : undefined,
    signal,
    clock,
  });
  return plainLog(batches, { timestamps });
}

/** Resolves when the container has ended, be it before anybody listened. */
async function endOf(running: () => Promise<boolean>, ended: AbortSignal): Promise<void> {
  const fired = new Promise<void>((resolve) => {
    if (ended.aborted) resolve();
    else ended.addEventListener('abort', () => resolve(), { once: true });
  });
  if (await running()) await fired;
}
