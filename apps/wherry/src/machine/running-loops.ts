import { type Logger, messageOf } from '@wherry/base';

/** The loops of a machine, and the first of them that ended when it should not have. */
export class Loops implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #log: Logger;
  readonly #running: Promise<void>[] = [];
  readonly failures = new Map<string, string>();
  readonly names: string[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Runs a loop until `end`. */
  run(name: string, loop: { run(signal: AbortSignal): Promise<void> }): void {
    this.names.push(name);
    this.#running.push(
      loop.run(this.#stop.signal).then(
        () => this.#ended(name, 'it ended'),
        (error: unknown) => this.#ended(name, messageOf(error), error),
      ),
    );
  }

  #ended(name: string, message: string, error?: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#log.error('a control loop ended', { loop: name, error: message, stack: (error as Error | undefined)?.stack });
    this.failures.set(name, message);
  }

  /** Resolves once all loops have ended. */
  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
