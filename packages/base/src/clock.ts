/** A source of time. Everything that waits or stamps takes one, so that tests run on a virtual clock. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `callback` once after `ms` milliseconds; dispose to cancel. The timer keeps no process alive. */
  after(ms: number, callback: () => void): Disposable;
}

/** The largest delay that a Node timer takes; longer ones are chained. */
const longestTimer = 2 ** 31 - 1;

/** The real clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, callback) {
    const end = Date.now() + ms;
    let timer: NodeJS.Timeout;
    const arm = (left: number): void => {
      timer = setTimeout(
        () => {
          const rest = end - Date.now();
          if (left > longestTimer && rest > 0) arm(rest);
          else callback();
        },
        Math.min(Math.max(left, 0), longestTimer),
      );
      timer.unref();
    };
    arm(ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** A clock that moves only when told to. */
export class VirtualClock implements Clock {
  #now: number;
  #timers: { at: number; order: number; callback: () => void }[] = [];
  #order = 0;

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): Disposable {
    const timer = { at: this.#now + Math.max(ms, 0), order: this.#order++, callback };
    this.#timers.push(timer);
    return {
      [Symbol.dispose]: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  /** Moves time forward by `ms` and runs what became due, in order; promises settle between timers. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = end;
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}
