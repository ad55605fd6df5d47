import { once } from 'node:events';
import { type Duplex, duplexPair, PassThrough, Readable } from 'node:stream';
import { WherryError } from '@wherry/base';
import type { ExecOptions, PodStreams, StreamSession } from '@wherry/runtime';

/** What a test's exec does with its streams; gives the exit code. */
export type Program = (streams: {
  readonly stdin: Readable;
  readonly stdout: PassThrough;
  readonly stderr: PassThrough;
  readonly sizes: { width: number; height: number }[];
}) => Promise<number>;

/** Pod streams whose commands are functions and whose ports are echo servers that shout. */
export function fakeStreams(programs: Readonly<Record<string, Program>>): PodStreams {
  const session = (name: string): StreamSession => {
    const program = programs[name];
    if (program === undefined)
      throw new WherryError('internal', `exec: ${JSON.stringify(name)}: executable file not found in $PATH`);
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const sizes: { width: number; height: number }[] = [];
    const exit = program({ stdin, stdout, stderr, sizes }).finally(() => {
      stdout.end();
      stderr.end();
    });
    return {
      stdin,
      stdout,
      stderr,
      exit,
      resize: (size) => void sizes.push({ ...size }),
      [Symbol.asyncDispose]: async () => void stdin.destroy(),
    };
  };
  return {
    logs: async (_pod, container, options) =>
      Readable.from([Buffer.from(`log of ${container} tail=${options.tailLines ?? 'all'}\n`)]),
    exec: async (_pod, _container, options: ExecOptions) => session(options.command[0]!),
    attach: async () => session('attach'),
    portForward: async (_pod, port) => {
      if (port === 1) throw new WherryError('unavailable', 'connection refused');
      const [ours, theirs] = duplexPair() as [Duplex, Duplex];
      ours.on('data', (chunk: Buffer) => ours.write(chunk.toString().toUpperCase()));
      ours.on('end', () => ours.end());
      return theirs;
    },
  };
}

/** Reads a stream to its end. */
export async function textOf(stream: Readable): Promise<string> {
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(stream, 'end');
  return text;
}
