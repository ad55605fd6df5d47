import { closeSync, openSync, write } from 'node:fs';

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
    this.#move ??= writeApart(this.#procs, String(process.pid)).then(() => {
      this.#move = undefined;
    });
    return this.#move;
  }
}

/** Only the write takes its time: one call on another thread instead of three. */
async function writeApart(file: string, text: string): Promise<void> {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r+');
  } catch {
    return;
  }
  await new Promise<void>((resolve) => write(descriptor, text, () => resolve()));
  closeSync(descriptor);
}
