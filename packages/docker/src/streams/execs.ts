import { type Deferred, deferred, sleep, WherryError } from '@wherry/base';
import type { AttachOptions, ExecStreamSession } from '@wherry/runtime';
import { BodyReader } from '../config/body-reader.ts';
import type { Container } from '../containers/container.ts';
import type { AttachedStreams, JsonObject } from '../containers/containers.ts';
import { type DockerContext, tell } from '../containers/context.ts';
import { execFailure } from '../lifecycle/start-failure.ts';
import { parseDetachKeys } from './detach-keys.ts';
import { guardedSession } from './guarded-session.ts';

interface Exec {
  readonly id: string;
  readonly container: Container;
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly env: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly privileged: boolean;
  readonly detachKeys: string;
  readonly size: { readonly width: number; readonly height: number } | undefined;
  running: boolean;
  exitCode: number | null;
  pid: number;
  session: ExecStreamSession | undefined;
  /** Resolves once it has run. */
  readonly started: Deferred<void>;
}

/** What is over can still be asked for its exit code: for so long, and of so many. ms. */
const keptFor = 5 * 60_000;
const mostEnded = 1000;
/** How long a resize waits for the start. ms. */
const startPatience = 10_000;

/** Commands in running containers. They are known until some minutes after their end, and by no later daemon. */
export class Execs {
  readonly #context: DockerContext;
  readonly #execs = new Map<string, Exec>();
  readonly #ended: { readonly id: string; readonly at: number }[] = [];

  constructor(context: DockerContext) {
    this.#context = context;
  }

  create(container: Container, reference: string, body: JsonObject): { readonly Id: string } {
    const reader = new BodyReader(body, 'ExecConfig');
    const command = reader.texts('Cmd') ?? [];
    if (command.length === 0) throw new WherryError('invalid', 'No exec command specified');
    this.#checkRuns(container, reference);
    const detachKeys = reader.text('DetachKeys');
    checkKeys(detachKeys);
    const size = consoleSize(reader);
    this.#sweep();
    const exec: Exec = {
      id: this.#context.random.hex(64),
      container,
      command,
      tty: reader.flag('Tty'),
      stdin: reader.flag('AttachStdin'),
      stdout: reader.flag('AttachStdout'),
      stderr: reader.flag('AttachStderr'),
      env: reader.texts('Env') ?? [],
      user: reader.text('User'),
      workingDir: reader.text('WorkingDir'),
      privileged: reader.flag('Privileged'),
      detachKeys,
      size,
      running: false,
      exitCode: null,
      pid: 0,
      session: undefined,
      started: deferred(),
    };
    this.#context.engine.anticipateExec(container.id, streamsOf(exec));
    this.#execs.set(exec.id, exec);
    container.execs.add(exec.id);
    this.#tell(exec, `exec_create: ${words(exec)}`);
    return { Id: exec.id };
  }

  #checkRuns(container: Container, reference = container.id): void {
    if (container.phase === 'restarting')
      throw new WherryError('conflict', `Container ${container.id} is restarting, wait until the container is running`);
    if (container.phase === 'paused')
      throw new WherryError('conflict', `Container ${reference} is paused, unpause the container before exec`);
    if (container.phase !== 'running') throw new WherryError('conflict', `container ${container.id} is not running`);
  }

  /** Throws `notFound`, and `conflict` where its container does not run now. */
  check(id: string): void {
    this.#checkRuns(this.#find(id).container);
  }

  /** Rejects in dockerd's words when it could not run; without `detach` gives its streams. */
  async start(
    id: string,
    options: {
      readonly detach: boolean;
      readonly size?: { readonly width: number; readonly height: number };
    },
  ): Promise<AttachedStreams | undefined> {
    const exec = this.#find(id);
    if (exec.exitCode !== null) throw new WherryError('conflict', `Error: Exec command ${id} has already run`);
    if (exec.running) throw new WherryError('conflict', `Error: Exec command ${id} is already running`);
    this.#checkRuns(exec.container);
    exec.running = true;
    this.#tell(exec, `exec_start: ${words(exec)}`);
    const session = await this.#run(exec, options);
    if (options.detach) return undefined;
    const guarded = guardedSession(session, {
      // The end of what is typed is no character on a terminal.
      passEnd: !exec.tty,
      detachKeys: exec.tty ? parseDetachKeys(exec.detachKeys) : undefined,
      onDetach: () => this.#tell(exec, 'exec_detach'),
    });
    const { detached } = guarded;
    return { tty: exec.tty, session: guarded, detached, [Symbol.asyncDispose]: () => guarded[Symbol.asyncDispose]() };
  }

  async #run(
    exec: Exec,
    { detach, size = exec.size }: { readonly detach: boolean; readonly size?: Exec['size'] },
  ): Promise<ExecStreamSession> {
    try {
      if (exec.workingDir !== '' && !exec.workingDir.startsWith('/'))
        throw new WherryError('invalid', 'OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown');
      const session = await this.#context.engine.exec(exec.container.id, {
        command: exec.command,
        ...(detach ? { tty: exec.tty, stdin: false, stdout: false, stderr: false } : streamsOf(exec)),
        env: exec.env,
        user: exec.user || undefined,
        workingDir: exec.workingDir || undefined,
        privileged: exec.privileged,
        ...(size === undefined ? {} : { size }),
        // It is the container's, not the client's.
        outlivesSession: true,
      });
      exec.session = session;
      exec.started.resolve();
      session.exit.then(
        (code) => this.#end(exec, code),
        (error: unknown) => this.#end(exec, execFailure(error).exitCode),
      );
      exec.pid = await session.pid;
      return session;
    } catch (thrown) {
      const { error, exitCode } = execFailure(thrown);
      this.#end(exec, exitCode, false);
      throw error;
    }
  }

  #end(exec: Exec, exitCode: number, ran = true): void {
    if (!exec.running) return;
    exec.running = false;
    exec.exitCode = exitCode;
    exec.session = undefined;
    exec.started.resolve();
    exec.container.execs.delete(exec.id);
    this.#ended.push({ id: exec.id, at: this.#context.clock.now() });
    if (ran) this.#tell(exec, 'exec_die', { exitCode: String(exitCode) });
  }

  inspect(id: string): JsonObject {
    const exec = this.#find(id);
    return {
      ID: exec.id,
      Running: exec.running,
      ExitCode: exec.exitCode,
      ProcessConfig: {
        tty: exec.tty,
        entrypoint: exec.command[0],
        arguments: exec.command.slice(1),
        privileged: exec.privileged,
        ...(exec.user === '' ? {} : { user: exec.user }),
      },
      OpenStdin: exec.stdin,
      OpenStderr: exec.stderr,
      OpenStdout: exec.stdout,
      CanRemove: false,
      ContainerID: exec.container.id,
      DetachKeys: detachText(exec.detachKeys),
      Pid: exec.pid,
    };
  }

  /** Clients ask for it beside the start, and it may come first: it waits for that. */
  async resize(id: string, size: { readonly width: number; readonly height: number }): Promise<void> {
    const exec = this.#find(id);
    this.#checkRuns(exec.container);
    if (exec.exitCode !== null) throw processGone(id);
    const patience = new AbortController();
    const late = sleep(this.#context.clock, startPatience, { signal: patience.signal }).then(
      () => true,
      () => false,
    );
    const isLate = await Promise.race([exec.started.promise, late]);
    patience.abort();
    if (isLate === true) throw new WherryError('internal', 'timeout waiting for exec session ready');
    if (exec.session === undefined) throw processGone(id);
    exec.session.resize(size);
  }

  /** The container has ended, and every command in it. */
  containerEnded(container: Container): void {
    for (const exec of this.#execs.values())
      if (exec.container === container && !exec.running && exec.exitCode === null) {
        this.#execs.delete(exec.id);
        container.execs.delete(exec.id);
      }
  }

  #find(id: string): Exec {
    const exec = this.#execs.get(id);
    if (exec === undefined) throw new WherryError('notFound', `No such exec instance: ${id}`);
    return exec;
  }

  #sweep(): void {
    const oldest = this.#context.clock.now() - keptFor;
    for (;;) {
      const first = this.#ended[0];
      if (first === undefined || (first.at > oldest && this.#ended.length <= mostEnded)) return;
      this.#ended.shift();
      this.#execs.delete(first.id);
    }
  }

  #tell(exec: Exec, action: string, more: Readonly<Record<string, string>> = {}): void {
    tell(this.#context, exec.container, action, { execID: exec.id, ...more });
  }
}

function processGone(id: string): WherryError {
  return new WherryError('notFound', `process does not exist ${id}: not found`);
}

function streamsOf({ tty, stdin, stdout, stderr }: Exec): AttachOptions {
  return { tty, stdin, stdout, stderr: stderr && !tty };
}

function words({ command }: Exec): string {
  return `${command[0]} ${command.slice(1).join(' ')}`;
}

/** In the words that dockerd has for executions alone. */
function checkKeys(keys: string): void {
  try {
    parseDetachKeys(keys);
  } catch (error) {
    throw new WherryError('internal', `Invalid escape keys (${keys}) provided`, { cause: error });
  }
}

/** `[height, width]`; anything shorter is filled up with zeros, which are no size. */
function consoleSize(reader: BodyReader): Exec['size'] {
  const value = reader.raw('ConsoleSize');
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw reader.mismatch('ConsoleSize', value, '[2]uint');
  const [height, width] = value.map(Number);
  return height && width ? { height, width } : undefined;
}

/** Go writes the bytes of the keys as text. */
function detachText(keys: string): string {
  return keys === '' ? '' : Buffer.from(parseDetachKeys(keys)).toString('latin1');
}
