import type { Clock } from '@wherry/base';

const firstRetry = 1000;
const longestRetry = 120_000;

/** One timer for all the reasons to look at a pod again; the earliest one counts. */
export class WakeTimer {
  readonly #clock: Clock;
  readonly #wake: () => void;
  #set: { readonly at: number; readonly timer: Disposable } | undefined;
  #delay = firstRetry;
  #retried = false;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Wakes at a time (ms) unless it wakes before. */
  wakeAt(at: number): void {
    if (this.#set && this.#set.at <= at && this.#set.at > this.#clock.now()) return;
    this.clear();
    const timer = this.#clock.after(Math.max(at - this.#clock.now(), 0), () => {
      this.#set = undefined;
      this.#wake();
    });
    this.#set = { at, timer };
  }

  /** Wakes after a delay that doubles with every failure until `succeeded`: 1 s to 2 min. */
  retry(): void {
    this.#retried = true;
    this.wakeAt(this.#clock.now() + this.#delay);
    this.#delay = Math.min(this.#delay * 2, longestRetry);
  }

  /** A pass over the pod went well; one that asked for a retry meanwhile did not. */
  succeeded(): void {
    if (!this.#retried) this.#delay = firstRetry;
    this.#retried = false;
  }

  clear(): void {
    this.#set?.timer[Symbol.dispose]();
    this.#set = undefined;
  }
}
