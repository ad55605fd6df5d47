import { PassThrough, type Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { Clock } from '@wherry/base';
import type { AttachOptions, ContainerStatus, LogOptions, StreamSession } from '@wherry/runtime';
import { logStream } from './log-stream.ts';

/**
 * A session with a container that is over already: its whole output from the log, then its exit code. Whoever
 * attaches to a short-lived container that was made for it (`kubectl run -i`) comes too late where pods start
 * fast, and would see nothing.
 */
export function endedSession(run: ContainerStatus, options: AttachOptions, clock: Clock): StreamSession {
  const stop = new AbortController();
  const source = { path: run.logPath, clock, running: async () => false, ended: AbortSignal.abort() };
  const read = (stream: LogOptions['stream']) => logStream(source, { stream }, stop.signal);
  const stdout = options.stdout ? read(options.tty ? 'All' : 'Stdout') : undefined;
  const stderr = options.stderr && !options.tty ? read('Stderr') : undefined;
  const stdin: Writable | undefined = options.stdin ? new PassThrough().resume() : undefined;
  const ends = [stdout, stderr].filter((stream) => stream !== undefined).map((stream) => finished(stream));
  return {
    stdin,
    stdout,
    stderr,
    exit: Promise.allSettled(ends).then(() => run.exitCode ?? 0),
    resize: () => undefined,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      stdin?.destroy();
    },
  };
}
