import { closeSync, constants, existsSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { errnoOf, WherryError } from '@wherry/base';
import { findProgram, type RunResult, runProgram, type SealedProgram, sealProgram } from '@wherry/linux';
import type { RuntimeState } from '@wherry/oci';
import type { RegisteredRuntime } from '../options.ts';
import type { RuntimeNamespace } from './runtime-namespace.ts';

/** A command with its arguments, ready to be started. */
export interface CommandLine {
  readonly path: string;
  readonly args: readonly string[];
  /** Where it can run. */
  readonly mountNamespace: string | undefined;
}

/** No call of a runtime takes long; one that hangs (a dead network file system) is given up. */
const longestCall = 60_000;

/** An OCI runtime's command line (runtime-spec, `runtime.md`; crun(1), runc(8)). */
export class OciRuntime implements Disposable {
  /** How it is registered. */
  readonly entry: RegisteredRuntime;
  readonly #stateDirectory: string;
  readonly #namespace: RuntimeNamespace;
  readonly #isCrun: boolean;
  #program: string | undefined;
  #sealed: SealedProgram | undefined;

  constructor(entry: RegisteredRuntime, stateDirectory: string, namespace: RuntimeNamespace) {
    this.entry = entry;
    this.#stateDirectory = stateDirectory;
    this.#namespace = namespace;
    this.#isCrun = basename(entry.path) === 'crun';
  }

  /** Throws `notFound` where its program is not installed. Only commands need it to be. */
  requireInstalled(): void {
    this.#program ??= findProgram(this.entry.path);
  }

  #path(): string {
    this.requireInstalled();
    return this.#program as string;
  }

  /** Whether `exec` in the foreground hands the command's terminal over by `--console-socket`; runc refuses that. */
  get handsOverTerminals(): boolean {
    return this.#isCrun;
  }

  /** Whether a `--pid-file` is made beside its place and renamed, as runc does: what stands there cannot be a pipe. */
  get replacesPidFiles(): boolean {
    return !this.#isCrun;
  }

  /** The runtime with these arguments, in its namespace. */
  command(args: readonly string[]): CommandLine {
    if (this.#isCrun) this.#sealed ??= sealProgram(this.#path());
    return {
      path: this.#sealed?.path ?? this.#path(),
      args: [...this.entry.args, `--root=${this.#stateDirectory}`, ...args],
      mountNamespace: this.#namespace.path,
    };
  }

  [Symbol.dispose](): void {
    this.#sealed?.[Symbol.dispose]();
    this.#sealed = undefined;
  }

  async #run(...args: string[]): Promise<RunResult> {
    return await runProgram({
      ...this.command(args),
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      timeout: longestCall,
    });
  }

  /** `crun 1.8.1` */
  async version(): Promise<string> {
    const { stdout } = await runProgram({ path: this.#path(), args: ['--version'] });
    return /^(\S+) version (\S+)/.exec(stdout.toString())?.slice(1, 3).join(' ') ?? 'unknown';
  }

  async start(id: string): Promise<void> {
    if (this.#isCrun && this.#letGo(id)) return;
    const result = await this.#run('start', id);
    if (result.exitCode !== 0) throw new WherryError('internal', result.stderr.toString().trim());
  }

  /**
   * What `crun start` does to a created container without `poststart` hooks: its first process waits for a byte in a
   * FIFO, which is then gone. False where there is no such FIFO with somebody at its other end.
   */
  #letGo(id: string): boolean {
    const fifo = join(this.#stateDirectory, id, 'exec.fifo');
    let descriptor: number;
    try {
      descriptor = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENXIO') return false;
      throw error;
    }
    try {
      rmSync(fifo);
      writeSync(descriptor, '\0');
      return true;
    } finally {
      closeSync(descriptor);
    }
  }

  /** Whether the runtime may know a container: both crun and runc keep a folder of its name. */
  hasState(id: string): boolean {
    return existsSync(join(this.#stateDirectory, id));
  }

  /** The program that crun has made of a created container's seccomp profile; `undefined` where it keeps none. */
  seccompFilter(id: string): Buffer | undefined {
    if (!this.#isCrun) return undefined;
    try {
      return readFileSync(join(this.#stateDirectory, id, 'seccomp.bpf'));
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** `undefined` for a container that the runtime does not know. */
  async state(id: string): Promise<RuntimeState | undefined> {
    const result = await this.#run('state', id);
    return result.exitCode === 0 ? (JSON.parse(result.stdout.toString()) as RuntimeState) : undefined;
  }

  /**
   * Removes the state of a container all of whose processes have ended; its cgroup is the caller's. crun keeps nothing
   * besides its folder, so no process need be started for that.
   */
  async forget(id: string): Promise<void> {
    if (this.#isCrun) await rm(join(this.#stateDirectory, id), { recursive: true, force: true });
    else await this.delete(id);
  }

  /** Kills the container if need be and removes its state and cgroup. Idempotent. */
  async delete(id: string): Promise<void> {
    await this.#run('delete', '--force', id);
  }
}
