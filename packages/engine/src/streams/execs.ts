import { WherryError } from '@wherry/base';
import type { AttachOptions, ExecOptions, ExecResult } from '@wherry/runtime';
import type { Containers, RunningContainer } from '../containers.ts';
import type { EngineContext } from '../context.ts';
import type { LiveContainer } from '../live-container.ts';
import { refuseZeroBytes } from '../spec/zero-bytes.ts';
import { type ExecSession, openExec, type WaitingExec } from './exec.ts';
import { execProcess, processOfCommands } from './exec-process.ts';
import { collectExec } from './exec-sync.ts';

/** How long a runtime waits for a command that was announced. ms. */
const patience = 1000;
/** So many wait at a time. */
const mostWaiting = 8;

interface Anticipated {
  /** Of this life of the container: what the runtime has read may not hold for the next one. */
  readonly live: LiveContainer;
  readonly streams: AttachOptions;
  readonly exec: WaitingExec;
  readonly timer: Disposable;
}

/** Commands in running containers. */
export class Execs implements Disposable {
  readonly #context: EngineContext;
  readonly #containers: Containers;
  readonly #waiting = new Set<Anticipated>();
  #closed = false;

  constructor(context: EngineContext, containers: Containers) {
    this.#context = context;
    this.#containers = containers;
  }

  async run(id: string, options: ExecOptions): Promise<ExecSession> {
    if (options.command.length === 0) throw new WherryError('invalid', 'no command specified');
    const running = this.#containers.running(id);
    const { record, live } = running;
    const { cgroups, paths } = this.#context;
    if (cgroups.isFrozen(this.#containers.index.cgroup(record)))
      throw new WherryError('conflict', `container ${record.id} is paused, unpause the container before exec`);
    live.processSpec ??= processOfCommands(this.#containers.specOf(record.id).process, record);
    const process = execProcess(live.processSpec, options, paths.rootfs(record.id));
    refuseZeroBytes(process);
    const exec = this.#take(live, options) ?? this.#open(running, options);
    return await exec.run(process, options);
  }

  /** Kills the command after the time; 0 for none. */
  async runToEnd(id: string, command: readonly string[], timeoutSeconds: number): Promise<ExecResult> {
    const session = await this.run(id, { command, tty: false, stdin: false, stdout: true, stderr: true });
    return await collectExec(session, timeoutSeconds, this.#context.clock);
  }

  /** Starts the runtime for a command that is about to come, after what is being done now. */
  anticipate(id: string, streams: AttachOptions): void {
    setImmediate(() => {
      try {
        if (!this.#closed && this.#waiting.size < mostWaiting) this.#keep(id, streams);
      } catch (error) {
        // The command itself will say it.
        this.#context.log.debug('no runtime for a command to come', { container: id, error });
      }
    });
  }

  #keep(id: string, streams: AttachOptions): void {
    const running = this.#containers.running(id);
    const { live } = running;
    const exec = this.#open(running, streams);
    const timer = this.#context.clock.after(patience, () => this.#drop(anticipated));
    const anticipated: Anticipated = { live, streams, exec, timer };
    this.#waiting.add(anticipated);
    void exec.ended.then(() => this.#drop(anticipated));
  }

  #open({ record, runtime }: RunningContainer, streams: AttachOptions): WaitingExec {
    const { cgroups, paths, random } = this.#context;
    cgroups.anticipateMoves();
    const bundle = paths.container(record.id);
    return openExec({ id: random.hex(64), containerId: record.id, bundle, runtime, streams });
  }

  #take(live: LiveContainer, { tty, stdin, stdout, stderr }: AttachOptions): WaitingExec | undefined {
    for (const anticipated of this.#waiting) {
      const { streams } = anticipated;
      if (anticipated.live !== live || streams.tty !== tty || streams.stdin !== stdin) continue;
      if (streams.stdout !== stdout || streams.stderr !== stderr) continue;
      anticipated.timer[Symbol.dispose]();
      this.#waiting.delete(anticipated);
      return anticipated.exec;
    }
    return undefined;
  }

  #drop(anticipated: Anticipated): void {
    if (!this.#waiting.delete(anticipated)) return;
    anticipated.timer[Symbol.dispose]();
    anticipated.exec[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const anticipated of this.#waiting) this.#drop(anticipated);
  }
}
