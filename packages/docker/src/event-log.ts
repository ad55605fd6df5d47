import { AsyncQueue, type Clock } from '@wherry/base';
import type { DockerEvent, EventLog } from './events.ts';
import type { NanoClock } from './times.ts';

/** As many as dockerd keeps. */
const kept = 256;

/** What a reader has not taken yet; one that stands still must not fill the memory. */
const mostWaiting = 10_000;

export interface EventLogOptions {
  readonly clock: Clock;
  readonly now: NanoClock;
}

/** Makes docker's event log. Nothing of it is on disk, as with dockerd. */
export function createEventLog(options: EventLogOptions): EventLog {
  return new MemoryEventLog(options);
}

class MemoryEventLog implements EventLog {
  readonly #clock: Clock;
  readonly #now: NanoClock;
  readonly #events: DockerEvent[] = [];
  readonly #readers = new Set<AsyncQueue<DockerEvent>>();

  constructor({ clock, now }: EventLogOptions) {
    this.#clock = clock;
    this.#now = now;
  }

  emit(type: DockerEvent['Type'], action: string, id: string, attributes: Readonly<Record<string, string>>): void {
    const timeNano = this.#now();
    const time = Number(timeNano / 1_000_000_000n);
    const actor = { ID: id, Attributes: { ...attributes } };
    const event: DockerEvent = { Type: type, Action: action, Actor: actor, scope: 'local', time, timeNano };
    this.#events.push(event);
    if (this.#events.length > kept) this.#events.shift();
    for (const reader of this.#readers) {
      if (reader.size >= mostWaiting) {
        this.#readers.delete(reader);
        reader.end();
      } else reader.push(event);
    }
  }

  get listeners(): number {
    return this.#readers.size;
  }

  async *read(
    range: { readonly since?: bigint; readonly until?: bigint },
    signal: AbortSignal,
  ): AsyncGenerator<DockerEvent, void, undefined> {
    const { since, until } = range;
    const queue = new AsyncQueue<DockerEvent>();
    if (since !== undefined)
      for (const event of this.#events)
        if (event.timeNano >= since && (until === undefined || event.timeNano <= until)) queue.push(event);
    const end = (): void => queue.end();
    let timer: Disposable | undefined;
    const left =
      until === undefined ? undefined : Number((until - BigInt(this.#clock.now()) * 1_000_000n) / 1_000_000n);
    if (left !== undefined && left <= 0) queue.end();
    else {
      if (left !== undefined) timer = this.#clock.after(left, end);
      this.#readers.add(queue);
    }
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    try {
      yield* queue;
    } finally {
      this.#readers.delete(queue);
      timer?.[Symbol.dispose]();
      signal.removeEventListener('abort', end);
    }
  }
}
