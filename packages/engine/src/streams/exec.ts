import type { Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough, type Readable, Transform, type Writable } from 'node:stream';
import { WherryError } from '@wherry/base';
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
import type { AttachOptions, ExecOptions, ExecStreamSession, StreamSession } from '@wherry/runtime';
import { startFailure } from '../runtime/messages.ts';
import type { OciRuntime } from '../runtime/oci-runtime.ts';
import { ExecChannel } from './exec-channel.ts';

export interface ExecRequest {
  readonly id: string;
  readonly containerId: string;
  /** Folder for the files of this call. */
  readonly bundle: string;
  readonly runtime: OciRuntime;
  readonly streams: AttachOptions;
}

/** A session that can also be ended by force. */
export interface ExecSession extends ExecStreamSession {
  /** Kills the command. */
  kill(): void;
}

/**
 * A `<runtime> exec` that has all but its command: it has loaded its libraries and is about to read, or has read, what
 * it knows of the container. Disposing it ends it.
 */
export interface WaitingExec extends Disposable {
  /** Resolves when the runtime has ended. */
  readonly ended: Promise<unknown>;
  /** Lets it run this command; once. Its exit code is the command's. */
  run(process: ProcessSpec, options: ExecOptions): Promise<ExecSession>;
}

/** Starts the runtime for a command in a running container, with the streams that it will have. */
export function openExec(request: ExecRequest): WaitingExec {
  const { tty, stdin, stdout, stderr } = request.streams;
  if (tty) return request.runtime.handsOverTerminals ? onTerminal(request) : onOwnTerminal(request);
  return stdin || stdout || stderr ? onPipes(request) : onNothing(request);
}

/** How a command is connected, for each kind of streams. */
interface Connection {
  /** Descriptors of the runtime by number; closed here once it has them. */
  readonly given: Readonly<Record<number, number>>;
  /** More options of the runtime's `exec`. */
  readonly options?: readonly string[];
  /** Before the command is told. */
  before?(options: ExecOptions): void;
  /** The command's streams. */
  connect(running: Running, options: ExecOptions): Streams | Promise<Streams>;
  /** Closes what `connect` was not asked for. */
  close?(): void;
}

interface Running {
  readonly request: ExecRequest;
  readonly child: Child;
  readonly channel: ExecChannel;
}

interface Streams {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  readonly resize: StreamSession['resize'];
}

function open(request: ExecRequest, connection: Connection): WaitingExec {
  const { runtime, containerId } = request;
  const channel = new ExecChannel(runtime.replacesPidFiles ? fileOf(request, 'pid') : undefined);
  let child: Child;
  try {
    const { global, exec } = channel.options;
    child = spawnProgram({
      ...runtime.command([...global, 'exec', ...(connection.options ?? []), ...exec, containerId]),
      env: {},
      descriptors: { ...connection.given, ...channel.descriptors },
      newSession: true,
    });
  } catch (error) {
    channel.end(error);
    connection.close?.();
    throw error;
  } finally {
    channel.started();
    closeQuietly(...new Set(Object.values(connection.given)));
  }
  const running = { request, child, channel };
  return {
    ended: child.exited,
    async run(process, options) {
      connection.before?.(options);
      channel.tell(process);
      return session(running, options, await connection.connect(running, options));
    },
    [Symbol.dispose]() {
      child.kill('SIGKILL');
      channel[Symbol.dispose]();
      connection.close?.();
    },
  };
}

const fileOf = ({ bundle, id }: ExecRequest, suffix: string): string =>
  join(bundle, `exec-${id.slice(0, 16)}.${suffix}`);
const fixed = (): void => undefined;

/** Nobody looks on: it goes on when this process ends, and can write for ever. */
function onNothing(request: ExecRequest): WaitingExec {
  const nothing = { stdin: undefined, stdout: undefined, stderr: undefined, resize: fixed };
  return open(request, { given: {}, connect: () => nothing });
}

function onPipes(request: ExecRequest): WaitingExec {
  const input = request.streams.stdin ? openPipe() : undefined;
  const [output, errors] = [openPipe(), openPipe()];
  return open(request, {
    given: { 1: output.write, 2: errors.write, ...(input && { 0: input.read }) },
    connect({ channel }) {
      const stdin = input && streamOfDescriptor(input.write, { readable: false });
      // A command that ends without reading all of its input is no failure.
      stdin?.on('error', () => undefined);
      const stdout = streamOfDescriptor(output.read, { writable: false });
      const stderr = withoutRuntimeError(streamOfDescriptor(errors.read, { writable: false }), channel);
      return { stdin, stdout, stderr, resize: fixed };
    },
    close: () => closeQuietly(input?.write, output.read, errors.read),
  });
}

/**
 * The runtime writes why a command could not start to its log and then to the standard error that is meant for
 * the command. The failure is told by `exit`; what it wrote is not the command's.
 */
function withoutRuntimeError(source: Readable, channel: ExecChannel): Readable {
  let first = true;
  const filtered = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const error = first ? channel.error() : undefined;
      first = false;
      const own = error !== undefined && chunk.toString().startsWith(error) ? chunk.indexOf('\n') + 1 : 0;
      done(null, chunk.subarray(own));
    },
  });
  source.once('error', (error) => filtered.destroy(error));
  filtered.once('close', () => source.destroy());
  return source.pipe(filtered);
}

function onTerminal(request: ExecRequest): WaitingExec {
  const socket = fileOf(request, 'tty');
  const console = listenForTerminal(socket);
  return open(request, {
    given: {},
    options: ['--tty', `--console-socket=${socket}`],
    async connect({ child }, { size }) {
      using _ = console;
      const early = child.exited.then(() => console.terminalOfEnded());
      const master = await Promise.race([console.terminal, early]);
      if (master === undefined) {
        // It could not run.
        return { stdin: undefined, stdout: new PassThrough().end(), stderr: undefined, resize: fixed };
      }
      // Older crun take no notice of `consoleSize` in an exec's process.
      if (size !== undefined) resizeTerminal(master, size);
      const stream = streamOfDescriptor(master);
      return {
        stdin: terminalInput(stream),
        stdout: terminalOutput(stream),
        stderr: undefined,
        resize(changed) {
          if (!stream.destroyed) resizeTerminal(master, changed);
        },
      };
    },
    close: () => console[Symbol.dispose](),
  });
}

/**
 * The runtime stays between a terminal of ours and the command's, which it makes: it takes over what it is told of the
 * size, and copies bytes as soon as it has set ours to raw. The process number comes after that: input waits for it.
 */
function onOwnTerminal(request: ExecRequest): WaitingExec {
  const { master, slave } = openTerminal();
  return open(request, {
    given: { 0: slave, 1: slave, 2: slave },
    options: ['--tty'],
    before({ size }) {
      if (size !== undefined) resizeTerminal(master, size);
    },
    connect({ child, channel }) {
      const stream = streamOfDescriptor(master);
      return {
        stdin: terminalInput(stream, channel.pid),
        stdout: terminalOutput(stream),
        stderr: undefined,
        resize(size) {
          if (stream.destroyed) return;
          resizeTerminal(master, size);
          // It is nobody's controlling terminal: the kernel tells none.
          child.kill('SIGWINCH');
        },
      };
    },
    close: () => closeQuietly(master),
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

function session({ request, child, channel }: Running, options: ExecOptions, streams: Streams): ExecSession {
  const outputs = [streams.stdout, streams.stderr].filter((stream) => stream !== undefined);
  const finished = Promise.all(outputs.map(endOf));
  if (!options.stdout) streams.stdout?.resume();
  if (!options.stderr) streams.stderr?.resume();
  let pid: number | undefined;
  channel.pid.then(
    (number) => {
      pid = number;
    },
    () => undefined,
  );
  let over = false;
  const kill = (): void => {
    if (!over) killExec(pid, child);
  };
  const exit = (async () => {
    const { exitCode } = await child.exited;
    over = true;
    const said = exitCode === 0 ? undefined : channel.error();
    const failure = said === undefined ? undefined : execFailure(request, startFailure(said, options.command));
    channel.end(failure);
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
    pid: channel.pid,
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

function endOf(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.readableEnded || stream.destroyed) resolve();
    stream
      .once('end', resolve)
      .once('close', resolve)
      .once('error', () => resolve());
  });
}

/** First the command itself: without its parent, the runtime, it would live on. */
function killExec(pid: number | undefined, child: Child): void {
  if (pid === undefined) {
    child.kill('SIGKILL');
    return;
  }
  using handle = ProcessHandle.open(pid);
  handle?.kill('SIGKILL');
}
