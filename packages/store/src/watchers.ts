import { type Deferred, deferred, WherryError } from '@wherry/base';
import type { Revision, StoreEvent, WatchBatch } from './store.ts';

/** A page of the past, as a watcher that is behind reads it. */
export interface HistoryPage extends WatchBatch {
  readonly more: boolean;
}

/** Reads events after a revision. Throws `gone` when they were compacted. Synchronous: one state. */
export type ReadHistory = (prefix: string, after: Revision) => HistoryPage;

/** What a watcher may have waiting before it is sent back to read from history. */
const longestQueue = 4096;

interface Watcher {
  readonly prefix: string;
  queue: WatchBatch[];
  queued: number;
  /** Reads from history instead of the queue: at the start, and when it was too slow. */
  behind: boolean;
  wake: Deferred<void> | undefined;
}

/**
 * Hands committed changes to the watchers in this process. A watcher starts in history and goes
 * live once it has read all of it; one that cannot keep up drops its queue and returns to history,
 * so that a slow reader costs no memory and loses nothing.
 */
export class Watchers {
  readonly #watchers = new Set<Watcher>();
  readonly #history: ReadHistory;
  #closed = false;

  constructor(history: ReadHistory) {
    this.#history = history;
  }

  publish(batch: WatchBatch): void {
    const matching = new Map<string, readonly StoreEvent[]>();
    for (const watcher of this.#watchers) {
      if (watcher.behind) continue;
      let events = matching.get(watcher.prefix);
      if (events === undefined) {
        events = batch.events.filter((event) => keyOf(event).startsWith(watcher.prefix));
        matching.set(watcher.prefix, events);
      }
      if (events.length === 0) continue;
      watcher.queued += events.length;
      if (watcher.queued > longestQueue) {
        watcher.behind = true;
        watcher.queue = [];
        watcher.queued = 0;
      } else {
        watcher.queue.push({ revision: batch.revision, events });
      }
      watcher.wake?.resolve();
    }
  }

  async *watch(prefix: string, after: Revision, signal: AbortSignal): AsyncGenerator<WatchBatch, void, undefined> {
    const watcher: Watcher = { prefix, queue: [], queued: 0, behind: true, wake: undefined };
    const wake = (): void => watcher.wake?.resolve();
    signal.addEventListener('abort', wake);
    this.#watchers.add(watcher);
    try {
      let cursor = after;
      while (!signal.aborted) {
        if (this.#closed) throw new WherryError('unavailable', 'the store was closed');
        const batch = this.#next(watcher, cursor);
        if (batch === undefined) {
          watcher.wake = deferred();
          await watcher.wake.promise;
          watcher.wake = undefined;
          continue;
        }
        cursor = Math.max(cursor, batch.revision);
        if (batch.events.length > 0) yield batch;
      }
    } finally {
      signal.removeEventListener('abort', wake);
      this.#watchers.delete(watcher);
    }
  }

  /** Ends every watch with `unavailable`. */
  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers) watcher.wake?.resolve();
  }

  #next(watcher: Watcher, cursor: Revision): WatchBatch | undefined {
    if (watcher.behind) {
      const page = this.#history(watcher.prefix, cursor);
      watcher.behind = page.more;
      return page;
    }
    const batch = watcher.queue.shift();
    if (batch === undefined) return undefined;
    watcher.queued -= batch.events.length;
    if (batch.revision <= cursor) return { revision: batch.revision, events: [] };
    // History may have shown the first part of a group that was published afterwards.
    const fresh = batch.events.filter((event) => revisionOf(event) > cursor);
    return fresh.length === batch.events.length ? batch : { revision: batch.revision, events: fresh };
  }
}

/** The key that an event is about. */
export function keyOf(event: StoreEvent): string {
  return event.type === 'put' ? event.kv.key : event.key;
}

/** The revision of the change. */
export function revisionOf(event: StoreEvent): Revision {
  return event.type === 'put' ? event.kv.modRevision : event.revision;
}
