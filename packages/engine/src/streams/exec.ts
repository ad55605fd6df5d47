import { readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough, type Readable, Transform, type Writable } from 'node:stream';
import { deferred, WherryError } from '@wherry/base';
import {
  type Child,
  closeQuietly,
  listenForTerminal,
  openPipe,
  openTerminal,
  ProcessHandle,
  resizeTerminal,
  spawnProgram,
  streamOfDescriptor,
} from '@wherry/linux';
import type { ProcessSpec } from '@wherry/oci';
import type { ExecOptions, ExecStreamSession, StreamSession } from '@wherry/runtime';
import { lastError, startFailure } from '../runtime/messages.ts';
import type { CommandLine, OciRuntime } from '../runtime/oci-runtime.ts';

export interface ExecRequest {
  readonly id: string;
  readonly containerId: string;
  /** Folder for the files of this call. */
  readonly bundle: string;
  readonly runtime: OciRuntime;
  readonly process: ProcessSpec;
  readonly options: ExecOptions;
}

/** A session that can also be ended by force. */
export interface ExecSession extends ExecStreamSession {
  /** Kills the command. */
  kill(): void;
}

interface Files {
  readonly process: string;
  readonly pid: string;
  readonly log: string;
  readonly console: string;
}

/** Runs a command in a running container with `<runtime> exec`, whose exit code is the command's. */
export async function startExec(request: ExecRequest): Promise<ExecSession> {
  const at = (suffix: string): string => join(request.bundle, `exec-${request.id.slice(0, 16)}.${suffix}`);
  const files: Files = { process: at('json'), pid: at('pid'), log: at('log'), console: at('tty') };
  writeFileSync(files.process, JSON.stringify(request.process), { mode: 0o600 });
  try {
    const { tty, stdin, stdout, stderr } = request.options;
    if (tty)
      return request.runtime.handsOverTerminals ? await onTerminal(request, files) : onOwnTerminal(request, files);
    return stdin || stdout || stderr ? onPipes(request, files) : onNothing(request, files);
  } catch (error) {
    removeFiles(files);
    throw error;
  }
}

function commandOf(request: ExecRequest, files: Files): CommandLine {
  const socket = request.runtime.handsOverTerminals ? [`--console-socket=${files.console}`] : [];
  const terminal = request.options.tty ? ['--tty', ...socket] : [];
  return request.runtime.command([
    `--log=${files.log}`,
    '--log-format=json',
    'exec',
    ...terminal,
    `--process=${files.process}`,
    `--pid-file=${files.pid}`,
    request.containerId,
  ]);
}

/** Nobody looks on: it goes on when this process ends, and can write for ever. */
function onNothing(request: ExecRequest, files: Files): ExecSession {
  const pid = pidFrom(request.bundle, files.pid);
  const child = start(request, files, {}, pid);
  const nothing = { stdin: undefined, stdout: undefined, stderr: undefined, resize: () => undefined };
  return session(request, files, child, { ...nothing, pid });
}

function start(request: ExecRequest, files: Files, descriptors: Record<number, number>, pid: PidFile): Child {
  try {
    return spawnProgram({ ...commandOf(request, files), env: {}, descriptors, newSession: true });
  } catch (error) {
    pid.end(error);
    throw error;
  }
}

interface PidFile {
  readonly pid: Promise<number>;
  /** Without an error the number must be there by now. */
  end(error?: unknown): void;
}

/** Waits for the process number that the runtime writes when the command runs. */
function pidFrom(folder: string, file: string): PidFile {
  const found = deferred<number>();
  found.promise.catch(() => undefined);
  const look = (): void => {
    const pid = Number(readText(file));
    if (pid > 0) found.resolve(pid);
  };
  const watcher = watch(folder, { persistent: false }, look).on('error', found.reject);
  const close = (): void => watcher.close();
  found.promise.then(close, close);
  return {
    pid: found.promise,
    end: (error) => {
      look();
      found.reject(error ?? new WherryError('internal', 'the command ended without a process number'));
    },
  };
}

function onPipes(request: ExecRequest, files: Files): ExecSession {
  const { stdin: wantsIn } = request.options;
  const ends = { in: wantsIn ? openPipe() : undefined, out: openPipe(), err: openPipe() };
  const pid = pidFrom(request.bundle, files.pid);
  let child: Child;
  try {
    const descriptors = { 1: ends.out.write, 2: ends.err.write, ...(ends.in && { 0: ends.in.read }) };
    child = start(request, files, descriptors, pid);
  } catch (error) {
    closeQuietly(ends.in?.write, ends.out.read, ends.err.read);
    throw error;
  } finally {
    closeQuietly(ends.in?.read, ends.out.write, ends.err.write);
  }
  const stdin = ends.in && streamOfDescriptor(ends.in.write, { readable: false });
  // A command that ends without reading all of its input is no failure.
  stdin?.on('error', () => undefined);
  const stdout = streamOfDescriptor(ends.out.read, { writable: false });
  const stderr = withoutRuntimeError(streamOfDescriptor(ends.err.read, { writable: false }), files.log);
  return session(request, files, child, { stdin, stdout, stderr, resize: () => undefined, pid });
}

/**
 * The runtime writes why a command could not start to its log and then to the standard error that is meant for
 * the command. The failure is told by `exit`; what it wrote is not the command's.
 */
function withoutRuntimeError(source: Readable, log: string): Readable {
  let first = true;
  const filtered = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const error = first ? lastError(readText(log)) : undefined;
      first = false;
      const own = error !== undefined && chunk.toString().startsWith(error) ? chunk.indexOf('\n') + 1 : 0;
      done(null, chunk.subarray(own));
    },
  });
  source.once('error', (error) => filtered.destroy(error));
  filtered.once('close', () => source.destroy());
  return source.pipe(filtered);
}

async function onTerminal(request: ExecRequest, files: Files): Promise<ExecSession> {
  using console = listenForTerminal(files.console);
  const pid = pidFrom(request.bundle, files.pid);
  const child = start(request, files, {}, pid);
  const early = child.exited.then(() => console.terminalOfEnded());
  const master = await Promise.race([console.terminal, early]);
  if (master === undefined) {
    // It could not run.
    const nothing = new PassThrough().end();
    return session(request, files, child, {
      stdin: undefined,
      stdout: nothing,
      stderr: undefined,
      resize: () => undefined,
      pid,
    });
  }
  // Older crun take no notice of `consoleSize` in an exec's process.
  if (request.options.size !== undefined) resizeTerminal(master, request.options.size);
  const stream = streamOfDescriptor(master);
  const output = terminalOutput(stream);
  const resize: StreamSession['resize'] = (size) => {
    if (!stream.destroyed) resizeTerminal(master, size);
  };
  return session(request, files, child, {
    stdin: terminalInput(stream),
    stdout: output,
    stderr: undefined,
    resize,
    pid,
  });
}

/**
 * The runtime stays between a terminal of ours and the command's, which it makes: it takes over what it is told of the
 * size, and copies bytes as soon as it has set ours to raw. The process number comes after that: input waits for it.
 */
function onOwnTerminal(request: ExecRequest, files: Files): ExecSession {
  const pid = pidFrom(request.bundle, files.pid);
  const { master, slave } = openTerminal(request.options.size);
  let child: Child;
  try {
    child = start(request, files, { 0: slave, 1: slave, 2: slave }, pid);
  } catch (error) {
    closeQuietly(master);
    throw error;
  } finally {
    closeQuietly(slave);
  }
  const stream = streamOfDescriptor(master);
  const resize: StreamSession['resize'] = (size) => {
    if (stream.destroyed) return;
    resizeTerminal(master, size);
    // It is nobody's controlling terminal: the kernel tells none.
    child.kill('SIGWINCH');
  };
  return session(request, files, child, {
    stdin: terminalInput(stream, pid.pid),
    stdout: terminalOutput(stream),
    stderr: undefined,
    resize,
    pid,
  });
}

/** A terminal's master reads EIO when the last user has closed it: that is its end. */
export function terminalOutput(stream: Socket): Readable {
  const output = new PassThrough();
  stream.pipe(output, { end: false });
  stream.once('end', () => output.end());
  stream.once('error', () => output.end());
  stream.once('close', () => output.end());
  output.once('close', () => stream.destroy());
  return output;
}

/** The end of input is a control character on a terminal, not a closed descriptor. */
function terminalInput(stream: Socket, ready: Promise<unknown> = Promise.resolve()): Writable {
  const input = new PassThrough();
  ready.then(
    () => input.pipe(stream, { end: false }),
    () => input.destroy(),
  );
  input.once('end', () => {
    if (!stream.destroyed) stream.write('\x04');
  });
  return input;
}

interface Streams {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  readonly resize: StreamSession['resize'];
  readonly pid: PidFile;
}

function session(request: ExecRequest, files: Files, child: Child, streams: Streams): ExecSession {
  const { options } = request;
  const outputs = [streams.stdout, streams.stderr].filter((stream) => stream !== undefined);
  const finished = Promise.all(outputs.map(over));
  if (!options.stdout) streams.stdout?.resume();
  if (!options.stderr) streams.stderr?.resume();
  const kill = (): void => killExec(files.pid, child);
  const exit = (async () => {
    const { exitCode } = await child.exited;
    const said = exitCode === 0 ? undefined : lastError(readText(files.log));
    const failure = said === undefined ? undefined : execFailure(request, startFailure(said, options.command));
    streams.pid.end(failure);
    removeFiles(files);
    streams.stdin?.destroy();
    if (failure !== undefined) {
      for (const output of outputs) output.destroy();
      throw failure;
    }
    await finished;
    return exitCode;
  })();
  exit.catch(() => undefined);
  return {
    stdin: options.stdin ? streams.stdin : undefined,
    stdout: options.stdout ? streams.stdout : undefined,
    stderr: options.stderr ? streams.stderr : undefined,
    exit,
    pid: streams.pid.pid,
    resize: streams.resize,
    kill,
    [Symbol.asyncDispose]: async () => {
      if (options.outlivesSession === true) {
        streams.stdin?.destroy();
        // Whoever has seen the whole output is told the exit code next.
        const seen = [options.stdout && streams.stdout, options.stderr && streams.stderr].filter((one) => !!one);
        if (seen.length > 0 && seen.every(({ readableEnded }) => readableEnded)) await exit.catch(() => undefined);
        else for (const output of outputs) output.resume();
        return;
      }
      kill();
      streams.stdin?.destroy();
      for (const output of outputs) output.destroy();
      await exit.catch(() => undefined);
    },
  };
}

function execFailure({ id }: ExecRequest, reason: string): WherryError {
  return new WherryError(
    'invalid',
    `failed to exec in container: failed to start exec "${id}": OCI runtime exec failed: exec failed: unable to start container process: ${reason}: unknown`,
    { details: { reason } },
  );
}

function over(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.readableEnded || stream.destroyed) resolve();
    stream
      .once('end', resolve)
      .once('close', resolve)
      .once('error', () => resolve());
  });
}

/** First the command itself: without its parent, the runtime, it would live on. */
function killExec(pidFile: string, child: Child): void {
  const pid = Number(readText(pidFile));
  if (pid > 0) {
    using handle = ProcessHandle.open(pid);
    handle?.kill('SIGKILL');
  } else child.kill('SIGKILL');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function removeFiles(files: Files): void {
  for (const path of [files.process, files.pid, files.log, files.console]) rmSync(path, { force: true });
}
