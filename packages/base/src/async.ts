import type { Clock } from './clock.ts';
import { WherryError } from './errors.ts';

/** A promise with its two ends in the open. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((ok, no) => {
    resolve = ok;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Resolves after `ms`; rejects with code `cancelled` when the signal fires first. */
export async function sleep(
  clock: Clock,
  ms: number,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  throwIfAborted(signal);
  const done = deferred();
  const timer = clock.after(ms, () => done.resolve());
  const abort = (): void => done.reject(cancelled(signal));
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await done.promise;
  } finally {
    timer[Symbol.dispose]();
    signal?.removeEventListener('abort', abort);
  }
}

/** The error that an aborted call throws. */
export function cancelled(signal?: AbortSignal): WherryError {
  const reason: unknown = signal?.reason;
  return reason instanceof WherryError
    ? reason
    : new WherryError('cancelled', 'the operation was cancelled', { cause: reason });
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled(signal);
}

/** Runs one critical section at a time, in order of arrival. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}

/** Runs one critical section at a time per key; keys that nobody holds take no memory. */
export class KeyedMutex {
  readonly #locks = new Map<string, { mutex: Mutex; users: number }>();

  /** Rejects with `cancelled` when the signal fires before `work` has begun; then it does not. */
  async run<T>(
    key: string,
    work: () => Promise<T>,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    throwIfAborted(signal);
    const lock = this.#locks.get(key) ?? { mutex: new Mutex(), users: 0 };
    this.#locks.set(key, lock);
    lock.users++;
    let hasBegun = false;
    const done = lock.mutex
      .run(async () => {
        throwIfAborted(signal);
        hasBegun = true;
        return await work();
      })
      .finally(() => {
        if (--lock.users === 0) this.#locks.delete(key);
      });
    const givenUp = deferred<never>();
    const abort = (): void => {
      if (!hasBegun) givenUp.reject(cancelled(signal));
    };
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([done, givenUp.promise]);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }
}

/** Lets at most `limit` sections run at the same time. */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#free = limit;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/** An unbounded queue that is read with `for await`. `end` finishes readers once it is drained. */
export class AsyncQueue<T> implements AsyncIterable<T> {
  #items: T[] = [];
  #readers: Deferred<void>[] = [];
  #ended = false;
  #error: unknown;

  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#wake();
  }

  /** Ends the queue; with an error, readers get what is queued first and then the error. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake();
  }

  #wake(): void {
    const readers = this.#readers;
    this.#readers = [];
    for (const reader of readers) reader.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift() as T;
      if (this.#ended) {
        if (this.#error !== undefined) throw this.#error;
        return;
      }
      const reader = deferred();
      this.#readers.push(reader);
      await reader.promise;
    }
  }
}
