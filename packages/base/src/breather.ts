import { setImmediate } from 'node:timers/promises';
import { throwIfAborted } from './async.ts';

/** Milliseconds of work between two chances for everybody else. */
const longestStretch = 3;

/** Lets others run now and then while many small things are done at once. */
export class Breather {
  #since = performance.now();
  readonly #signal: AbortSignal | undefined;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** To be called after each small thing. Throws `cancelled`. */
  async rest(): Promise<void> {
    if (performance.now() - this.#since < longestStretch) return;
    await setImmediate();
    throwIfAborted(this.#signal);
    this.#since = performance.now();
  }
}
