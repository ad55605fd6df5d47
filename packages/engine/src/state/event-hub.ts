import { AsyncQueue } from '@wherry/base';
import type { RuntimeEvent } from '@wherry/runtime';

/** Hands each event to every listener, in order. */
export class EventHub {
  readonly #queues = new Set<AsyncQueue<RuntimeEvent>>();

  emit(event: RuntimeEvent): void {
    for (const queue of this.#queues) queue.push(event);
  }

  /** Listens from the call on (not from the first read) until the signal or `end`. */
  listen(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const queue = new AsyncQueue<RuntimeEvent>();
    const stop = (): void => {
      this.#queues.delete(queue);
      queue.end();
      signal.removeEventListener('abort', stop);
    };
    if (signal.aborted) queue.end();
    else {
      this.#queues.add(queue);
      signal.addEventListener('abort', stop, { once: true });
    }
    const queues = this.#queues;
    return {
      async *[Symbol.asyncIterator]() {
        try {
          yield* queue;
        } finally {
          queues.delete(queue);
          signal.removeEventListener('abort', stop);
        }
      },
    };
  }

  end(): void {
    for (const queue of this.#queues) queue.end();
    this.#queues.clear();
  }
}
