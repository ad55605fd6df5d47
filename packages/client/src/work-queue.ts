import type { Clock } from '@wherry/base';
import { backoffDelay } from './backoff.ts';

/** Settings of a work queue; times in milliseconds. */
export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Delay of the first retry of a key; doubles with each further one. Default 5. */
  readonly baseDelay?: number;
  /** Longest delay of a retry. Default 1,000,000 (upstream's). */
  readonly maxDelay?: number;
  /** Bucket over all retries together. Default 10 a second with bursts of 100 (upstream's). */
  readonly rate?: { readonly perSecond: number; readonly burst: number };
}

/**
 * Keys waiting to be worked on. A key waits at most once; while it is worked on it is not given
 * out again, and an `add` meanwhile makes it wait anew after `done`.
 */
export interface WorkQueue {
  add(key: string): void;
  /** Adds after `ms`; a timer that is already set for the key stays when it is due earlier. */
  addAfter(key: string, ms: number): void;
  /** Adds after the key's own back-off, which grows until `forget`. */
  addRateLimited(key: string): void;
  forget(key: string): void;
  /** How often the key was added by `addRateLimited` since `forget`. */
  retries(key: string): number;
  /** The next key, or `undefined` once the queue was closed. */
  get(): Promise<string | undefined>;
  done(key: string): void;
  /** Keys that wait now (without timers). */
  readonly size: number;
  /** Drops what waits, cancels timers, and lets every `get` end. */
  close(): void;
}

/** A work queue as client-go's rate limiting queue behaves; it costs nothing while nothing is due. */
export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { clock, baseDelay = 5, maxDelay = 1_000_000, rate = { perSecond: 10, burst: 100 } } = options;
  const waiting = new Set<string>(); // insertion order is the order of work
  const working = new Set<string>();
  const again = new Set<string>();
  const timers = new Map<string, { at: number; timer: Disposable }>();
  const failures = new Map<string, number>();
  const readers: ((key: string | undefined) => void)[] = [];
  const bucket = tokenBucket(clock, rate);
  let closed = false;

  const take = (): string | undefined => {
    const [key] = waiting;
    if (key === undefined) return undefined;
    waiting.delete(key);
    working.add(key);
    return key;
  };

  const queue: WorkQueue = {
    get size() {
      return waiting.size;
    },
    add(key) {
      if (closed) return;
      if (working.has(key)) {
        again.add(key);
        return;
      }
      waiting.add(key);
      const reader = readers.shift();
      if (reader) reader(take());
    },
    addAfter(key, ms) {
      if (closed) return;
      if (ms <= 0) {
        queue.add(key);
        return;
      }
      const at = clock.now() + ms;
      const known = timers.get(key);
      if (known && known.at <= at) return;
      known?.timer[Symbol.dispose]();
      const timer = clock.after(ms, () => {
        timers.delete(key);
        queue.add(key);
      });
      timers.set(key, { at, timer });
    },
    addRateLimited(key) {
      const count = (failures.get(key) ?? 0) + 1;
      failures.set(key, count);
      queue.addAfter(key, Math.max(backoffDelay(count, baseDelay, maxDelay), bucket()));
    },
    forget: (key) => void failures.delete(key),
    retries: (key) => failures.get(key) ?? 0,
    get() {
      if (closed) return Promise.resolve(undefined);
      const key = take();
      if (key !== undefined) return Promise.resolve(key);
      return new Promise((resolve) => readers.push(resolve));
    },
    done(key) {
      working.delete(key);
      if (again.delete(key)) queue.add(key);
    },
    close() {
      closed = true;
      waiting.clear();
      again.clear();
      for (const { timer } of timers.values()) timer[Symbol.dispose]();
      timers.clear();
      for (const reader of readers.splice(0)) reader(undefined);
    },
  };
  return queue;
}

/** Gives the milliseconds to wait for a token; each call takes one. */
function tokenBucket(clock: Clock, { perSecond, burst }: { perSecond: number; burst: number }): () => number {
  let tokens = burst;
  let seen = clock.now();
  return () => {
    const now = clock.now();
    tokens = Math.min(burst, tokens + ((now - seen) / 1000) * perSecond) - 1;
    seen = now;
    return tokens >= 0 ? 0 : (-tokens / perSecond) * 1000;
  };
}
