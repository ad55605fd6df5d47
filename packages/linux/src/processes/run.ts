import type { Readable } from 'node:stream';
import { type Clock, deferred, systemClock, WherryError } from '@wherry/base';
import { closeQuietly, openPipe } from './descriptors.ts';
import { streamOfDescriptor } from './pollable.ts';
import { type Child, type ExitStatus, type SpawnRequest, spawnProgram } from './spawn.ts';

export interface RunRequest extends Omit<SpawnRequest, 'descriptors'> {
  /** Ends the program (SIGKILL) and rejects with `timeout`. Milliseconds. */
  readonly timeout?: number | undefined;
  /** Bytes kept of each output; what comes after is read and dropped. Default 64 KiB. */
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

export interface RunResult extends ExitStatus {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** Runs a program to its end and gives its output, whatever its exit code. */
export async function runProgram(request: RunRequest): Promise<RunResult> {
  const out = openPipe();
  const err = openPipe();
  let child: Child;
  try {
    child = spawnProgram({ ...request, descriptors: { 1: out.write, 2: err.write } });
  } catch (error) {
    closeQuietly(out.read, err.read);
    throw error;
  } finally {
    closeQuietly(out.write, err.write);
  }
  const limit = request.limit ?? 65536;
  const outputs = [out.read, err.read].map((end) => collect(streamOfDescriptor(end, { writable: false }), limit));
  const stopped = deferred<never>();
  stopped.promise.catch(() => undefined);
  const stop = (error: WherryError): void => {
    child.kill('SIGKILL');
    stopped.reject(error);
  };
  const timer =
    request.timeout === undefined
      ? undefined
      : (request.clock ?? systemClock).after(request.timeout, () =>
          stop(new WherryError('timeout', `${request.path} took longer than ${request.timeout} ms`)),
        );
  const abort = (): void => stop(new WherryError('cancelled', `${request.path} was cancelled`));
  request.signal?.addEventListener('abort', abort, { once: true });
  try {
    if (request.signal?.aborted === true) abort();
    const status = await Promise.race([child.exited, stopped.promise]);
    const [stdout, stderr] = await Promise.all(outputs.map((output) => output.all));
    return { ...status, stdout: stdout as Buffer, stderr: stderr as Buffer };
  } finally {
    timer?.[Symbol.dispose]();
    request.signal?.removeEventListener('abort', abort);
    for (const output of outputs) output.stream.destroy();
  }
}

function collect(stream: Readable, limit: number): { stream: Readable; all: Promise<Buffer> } {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on('data', (chunk: Buffer) => {
    if (length < limit) chunks.push(chunk.subarray(0, limit - length));
    length += chunk.length;
  });
  const all = new Promise<Buffer>((resolve) => {
    stream.once('error', () => undefined);
    stream.once('end', () => resolve(Buffer.concat(chunks)));
    stream.once('close', () => resolve(Buffer.concat(chunks)));
  });
  return { stream, all };
}
