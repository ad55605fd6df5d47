import { messageOf } from '@wherry/base';
import type { Core } from '../pipeline/core.ts';

const hour = 60 * 60 * 1000;
/** How long after the first write since the last compaction the history is cut, and what is kept of it. */
const compactAfter = 5 * 60 * 1000;

/** Forgets old Events and old versions. Timers run only while there is something to forget. */
export class Housekeeping implements Disposable {
  readonly #core: Core;
  readonly #lifetime: number;
  readonly #listener: Disposable;
  #compaction: Disposable | undefined;
  #expiry: Disposable | undefined;
  #keepAfter: number;
  #stopped = false;

  constructor(core: Core, lifetime = hour) {
    this.#core = core;
    this.#lifetime = lifetime;
    this.#keepAfter = core.registry.revision;
    this.#listener = core.registry.onChange(() => this.#arm());
    this.#arm();
  }

  #arm(): void {
    const { clock } = this.#core;
    this.#compaction ??= clock.after(compactAfter, () => {
      void this.#compact();
    });
    this.#armExpiry();
  }

  /** Compacts up to where the history ended one period ago, so that watches and pages have that long. */
  async #compact(): Promise<void> {
    const { registry, log } = this.#core;
    const until = this.#keepAfter;
    this.#keepAfter = registry.revision;
    try {
      if (until > 0) await registry.store.compact(until);
    } catch (error) {
      log.warn('compaction failed', { error: messageOf(error) });
    }
    this.#compaction = undefined;
    if (!this.#stopped && registry.revision > this.#keepAfter) this.#arm();
  }

  #events() {
    return this.#core.registry.caches.get('events/');
  }

  #armExpiry(): void {
    if (this.#expiry !== undefined || (this.#events()?.size ?? 0) === 0) return;
    // Events are named at random, so the oldest is found by looking at all of them, once a pass.
    let oldest = Number.POSITIVE_INFINITY;
    for (const stored of this.#events()!.range('')) oldest = Math.min(oldest, this.#lastSeen(stored.object));
    const wait = Math.max(oldest + this.#lifetime - this.#core.clock.now(), 1000);
    this.#expiry = this.#core.clock.after(wait, () => {
      void this.#expire();
    });
  }

  async #expire(): Promise<void> {
    const { catalog, registry, clock, log } = this.#core;
    const kind = catalog.find('', 'v1', 'events');
    const until = clock.now() - this.#lifetime;
    if (kind !== undefined) {
      for (const stored of this.#events()!.range('')) {
        if (this.#stopped) return;
        if (this.#lastSeen(stored.object) > until) continue;
        await registry
          .remove(kind, stored.key, stored.revision)
          .catch((error: unknown) => log.warn('an event could not be expired', { error: messageOf(error) }));
      }
    }
    this.#expiry = undefined;
    if (!this.#stopped) this.#armExpiry();
  }

  #lastSeen(object: { readonly [field: string]: unknown }): number {
    const series = object.series as { lastObservedTime?: string } | undefined;
    const metadata = object.metadata as { creationTimestamp?: string } | undefined;
    const times = [series?.lastObservedTime, object.lastTimestamp, object.eventTime, metadata?.creationTimestamp];
    const latest = Math.max(...times.map((time) => (typeof time === 'string' ? Date.parse(time) : 0)));
    return latest > 0 ? latest : this.#core.clock.now();
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#listener[Symbol.dispose]();
    this.#compaction?.[Symbol.dispose]();
    this.#expiry?.[Symbol.dispose]();
  }
}
