import { type Deferred, deferred, Mutex, WherryError } from '@wherry/base';
import type { ContainerPhase, ContainerRecord, RunState } from './record.ts';
import { transitions } from './record.ts';

/** How a run ended, as `wait` says it. */
export interface Ending {
  readonly exitCode: number;
  /** Why a removal that was waited for failed. */
  readonly error: string;
}

/** What a health monitor shows (`State.Health`). */
export interface HealthState {
  readonly Status: 'starting' | 'healthy' | 'unhealthy';
  readonly FailingStreak: number;
  readonly Log: readonly {
    readonly Start: string;
    readonly End: string;
    readonly ExitCode: number;
    readonly Output: string;
  }[];
}

/** A container in memory: its record, what waits for it, and what only a run of it has. */
export class Container {
  record: ContainerRecord;
  /** Whoever changes its phase holds it; nothing waits for an end within it. */
  readonly lock = new Mutex();
  readonly execs = new Set<string>();
  pid = 0;
  health: HealthState | undefined;
  /** Between an end and the next start by its policy. */
  restart: AbortController | undefined;
  /** ms; doubles with each short run. */
  restartDelay = 0;
  /** The end that is coming was asked for: no policy starts it again. */
  stopping = false;
  /** A user's restart is under way: it is not removed at its end. */
  restarting = false;
  #ends: Deferred<Ending>[] = [];
  #stops: (() => void)[] = [];
  #removals: Deferred<Ending>[] = [];

  constructor(record: ContainerRecord) {
    this.record = record;
  }

  get id(): string {
    return this.record.id;
  }

  get name(): string {
    return this.record.name;
  }

  get phase(): ContainerPhase {
    return this.record.state.phase;
  }

  /** `running` or `paused`: it has a process. */
  get alive(): boolean {
    return this.phase === 'running' || this.phase === 'paused';
  }

  get ending(): Ending {
    return { exitCode: this.record.state.exitCode, error: '' };
  }

  change(change: Partial<ContainerRecord>): void {
    this.record = { ...this.record, ...change };
  }

  /** Moves to another phase; a move that the table does not have is a bug. */
  enter(phase: ContainerPhase, change: Partial<RunState> = {}): void {
    const from: readonly ContainerPhase[] = transitions[this.phase];
    if (phase !== this.phase && !from.includes(phase))
      throw new WherryError('internal', `container ${this.id} cannot go from ${this.phase} to ${phase}`);
    this.change({ state: { ...this.record.state, ...change, phase } });
  }

  /** Resolves with its next end. */
  nextEnd(): Promise<Ending> {
    const waiter = deferred<Ending>();
    this.#ends.push(waiter);
    return waiter.promise;
  }

  /** `tellStop` comes with its next end, before anything else is told of it: dockerd's `stop` precedes `die`. */
  whenStopped(tellStop: () => void): void {
    this.#stops.push(tellStop);
  }

  stopped(): void {
    for (const tellStop of this.#stops.splice(0)) tellStop();
  }

  /** Resolves when it is removed. */
  removal(): Promise<Ending> {
    const waiter = deferred<Ending>();
    this.#removals.push(waiter);
    return waiter.promise;
  }

  ended(): void {
    this.stopped();
    for (const waiter of this.#ends.splice(0)) waiter.resolve(this.ending);
  }

  removed(): void {
    this.ended();
    for (const waiter of this.#removals.splice(0)) waiter.resolve(this.ending);
  }

  /** Gives up the removal that was waited for. */
  removalFailed(error: string): void {
    for (const waiter of this.#removals.splice(0)) waiter.resolve({ ...this.ending, error });
  }
}
