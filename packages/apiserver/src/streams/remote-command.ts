import type { Readable, Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import type { V1Status } from '@wherry/api';
import type { StreamSession } from '@wherry/runtime';
import { exitStatus, failureStatus } from './command-status.ts';

/** The client's end of an exec or attach, whatever protocol carries it. */
export interface CommandChannels {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  /** JSON objects `{"Width","Height"}`, one after the other. */
  readonly resize: Readable | undefined;
  /** Fires when the client is gone. */
  readonly signal: AbortSignal;
  /** Sends the last word and closes. */
  finish(status: V1Status): Promise<void>;
}

type Doing = 'executing command in' | 'attaching to';

/** Joins a running command to its client until the command's output ends or the client leaves. */
export async function runCommand(
  channels: CommandChannels,
  start: () => Promise<StreamSession>,
  doing: Doing,
): Promise<void> {
  let session: StreamSession;
  try {
    session = await start();
  } catch (error) {
    await channels.finish(failureStatus(doing, error));
    return;
  }
  try {
    await channels.finish(await join(channels, session, doing));
  } finally {
    await session[Symbol.asyncDispose]();
  }
}

async function join(channels: CommandChannels, session: StreamSession, doing: Doing): Promise<V1Status> {
  if (channels.resize !== undefined) followSizes(channels.resize, session);
  if (channels.stdin !== undefined && session.stdin !== undefined) {
    // A command that does not read its input to the end is no failure.
    pipeline(channels.stdin, session.stdin).catch(() => undefined);
  }
  const gone = new Promise<'gone'>((resolve) => {
    if (channels.signal.aborted) resolve('gone');
    else channels.signal.addEventListener('abort', () => resolve('gone'), { once: true });
  });
  const outputs = Promise.all([carry(session.stdout, channels.stdout), carry(session.stderr, channels.stderr)]);
  outputs.catch(() => undefined);
  const exit = session.exit.then(
    (code) => exitStatus(code),
    (error: unknown) => failureStatus(doing, error),
  );
  const first = await Promise.race([exit, gone]);
  if (first === 'gone') return exitStatus(0);
  await Promise.race([outputs.catch(() => undefined), gone]);
  return first;
}

async function carry(from: Readable | undefined, to: Writable | undefined): Promise<void> {
  if (from === undefined) return;
  if (to === undefined) {
    from.resume();
    await finished(from).catch(() => undefined);
    return;
  }
  await pipeline(from, to);
}

const longestSize = 1024;

/** Applies each terminal size that the client sends. */
function followSizes(resize: Readable, session: StreamSession): void {
  let text = '';
  resize.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
    for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}')) {
      const one = text.slice(0, end + 1);
      text = text.slice(end + 1);
      try {
        const size = JSON.parse(one) as { Width?: number; Height?: number };
        if (Number.isInteger(size.Width) && Number.isInteger(size.Height)) {
          session.resize({ width: size.Width!, height: size.Height! });
        }
      } catch {
        // A size that cannot be read changes nothing.
      }
    }
    if (text.length > longestSize) text = '';
  });
  resize.on('error', () => undefined);
}
