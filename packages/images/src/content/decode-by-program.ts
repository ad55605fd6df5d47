import { once } from 'node:events';
import { closeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { codeOf, WherryError } from '@wherry/base';
import { findProgram, openPipe, spawnProgram, streamOfDescriptor } from '@wherry/linux';

/** What a program says of broken input is cut here (bytes). */
const longestComplaint = 1024;

/**
 * What a host program makes of a stream that it decompresses (`bzip2`, `xz`). Nothing runs before the first piece is asked
 * for, and nothing after the last. Throws `corrupt` in dockerd's words, `unsupported` where the program is not installed.
 */
export async function* decodeByProgram(
  source: AsyncIterable<Uint8Array>,
  program: 'bzip2' | 'xz',
): AsyncGenerator<Buffer, void, undefined> {
  const pipes = { input: openPipe(), output: openPipe(), complaints: openPipe() };
  const child = startIn(program, pipes);
  const input = streamOfDescriptor(pipes.input.write, { readable: false });
  const output = streamOfDescriptor(pipes.output.read, { writable: false });
  const complaints = streamOfDescriptor(pipes.complaints.read, { writable: false });
  // A program that is done with a stream closes it, whatever is still to come.
  for (const stream of [input, output, complaints]) stream.on('error', () => undefined);
  let said = '';
  complaints.on('data', (piece: Buffer) => {
    if (said.length < longestComplaint) said += piece.toString();
  });
  const feeding = feed(source, input);
  feeding.catch(() => child.kill('SIGKILL'));
  try {
    yield* output as AsyncIterable<Buffer>;
    await feeding;
    const { exitCode } = await child.exited;
    if (exitCode === 0) return;
    if (!complaints.readableEnded) await once(complaints, 'end');
    throw new WherryError('corrupt', program === 'bzip2' ? ofBzip2(said) : `exit status ${exitCode}: ${ofXz(said)}`);
  } finally {
    child.kill('SIGKILL');
    for (const stream of [input, output, complaints]) stream.destroy();
    await child.exited;
  }
}

type Pipe = ReturnType<typeof openPipe>;

function startIn(
  program: string,
  { input, output, complaints }: Record<'input' | 'output' | 'complaints', Pipe>,
): ReturnType<typeof spawnProgram> {
  try {
    return spawnProgram({
      path: findProgram(program),
      args: ['-d', '-c', ...(program === 'xz' ? ['-q'] : [])],
      descriptors: { 0: input.read, 1: output.write, 2: complaints.write },
    });
  } catch (error) {
    for (const end of [input.write, output.read, complaints.read]) closeSync(end);
    if (codeOf(error) !== 'notFound') throw error;
    throw new WherryError('unsupported', `exec: "${program}": executable file not found in $PATH`, { cause: error });
  } finally {
    for (const end of [input.read, output.write, complaints.write]) closeSync(end);
  }
}

async function feed(source: AsyncIterable<Uint8Array>, input: Writable): Promise<void> {
  for await (const chunk of source) {
    if (input.destroyed) return;
    if (!input.write(chunk)) await drained(input);
  }
  input.end();
}

/** Resolves when there is room again, or nobody reads any more. */
function drained(input: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      input.off('drain', done).off('close', done);
      resolve();
    };
    input.on('drain', done).on('close', done);
  });
}

/** Without the folder of the program, by which it is called here. */
function ofXz(said: string): string {
  return said.trim().replace(/^\S*\/(?=xz:)/, '');
}

/** dockerd decodes bzip2 itself and says so. */
function ofBzip2(said: string): string {
  return /ends unexpectedly/.test(said) ? 'unexpected EOF' : 'bzip2 data invalid';
}
