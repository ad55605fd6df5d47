import { writeControlApart } from './files.ts';

/** Moves this process to where it is, at most once at a time. */
export class AnticipatedMove {
  readonly #procs: string;
  #move: Promise<void> | undefined;

  /** `procs`: the `cgroup.procs` of the group that this process is in. */
  constructor(procs: string) {
    this.#procs = procs;
  }

  /** Resolves when the move is over, also when it was refused. */
  begin(): Promise<void> {
    const over = (): void => {
      this.#move = undefined;
    };
    this.#move ??= writeControlApart(this.#procs, String(process.pid)).then(over, over);
    return this.#move;
  }
}
