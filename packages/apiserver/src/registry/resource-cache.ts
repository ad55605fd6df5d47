import { statusError } from '@wherry/api';
import type { Clock } from '@wherry/base';
import type { StoredObject } from './stored-object.ts';

/** A change of a resource as it went through the cache. */
export interface CacheEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly revision: number;
  /** For DELETED the last state, under the revision of the deletion. */
  readonly current: StoredObject;
  readonly previous: StoredObject | undefined;
  /** Encodings shared by the watchers while the event is handed out; dropped afterwards. */
  shared: Map<unknown, Buffer> | undefined;
}

/** Receives the changes of one watch. `deliver` runs synchronously and must not throw. */
export interface Watcher {
  readonly namespace: string; // '' for all
  deliver(events: readonly CacheEvent[]): void;
  /** Everything up to this revision was delivered. */
  bookmark?(revision: number): void;
  /** The cache cannot go on; the watcher's client has to list again. */
  fail(error: unknown): void;
}

/**
 * How many events a resource remembers: at least, at most (in number and in encoded bytes), and for how long between
 * the two. Twice the least may stay for ever: it is trimmed in blocks.
 */
const window = { least: 100, most: 8192, bytes: 8 * 1024 * 1024, milliseconds: 75_000 };

/** Events that age one after the other are forgotten together, this often (ms). */
const trimStep = 10_000;

/**
 * The current objects of one resource in the order of their keys, and the latest changes.
 * Fed by the registry, in order of revision.
 */
export class ResourceCache {
  readonly #clock: Clock;
  readonly #objects = new Map<string, StoredObject>();
  /** Keys in byte order. Names are ASCII, so JavaScript's order is the store's. */
  #keys: string[] = [];
  readonly #everywhere = new Set<Watcher>();
  readonly #inNamespace = new Map<string, Set<Watcher>>();
  #events: { event: CacheEvent; at: number; bytes: number }[] = [];
  #eventBytes = 0;
  /** Runs while there are events that only their age lets stay: a burst is forgotten without a next change. */
  #trimming: Disposable | undefined;
  /** Changes after this revision are in `#events`. */
  #since: number;
  /** Revision of the last change. */
  lastChange: number;
  #joined: { range: string; revision: number; body: Buffer } | undefined;

  constructor(clock: Clock, since: number) {
    this.#clock = clock;
    this.#since = since;
    this.lastChange = since;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): StoredObject | undefined {
    return this.#objects.get(key);
  }

  /** Takes over objects in key order, without events: the first load and a reload. */
  load(objects: readonly StoredObject[], revision: number): void {
    this.#objects.clear();
    for (const object of objects) this.#objects.set(object.key, object);
    this.#keys = objects.map((object) => object.key);
    this.#events = [];
    this.#eventBytes = 0;
    this.#since = revision;
    this.lastChange = revision;
    this.#joined = undefined;
  }

  /** Objects of a namespace ('' for all), from `start` (inclusive) on, in key order. */
  range(namespace: string, start = ''): StoredObject[] {
    const prefix = namespace === '' ? '' : `${namespace}/`;
    let index = lowerBound(this.#keys, start > prefix ? start : prefix);
    const found: StoredObject[] = [];
    for (; index < this.#keys.length; index++) {
      const key = this.#keys[index]!;
      if (prefix !== '' && !key.startsWith(prefix)) break;
      found.push(this.#objects.get(key)!);
    }
    return found;
  }

  /** Remembers the body of an unselected list until the next change. */
  joined(range: string, make: () => Buffer): Buffer {
    const known = this.#joined;
    if (known !== undefined && known.range === range && known.revision === this.lastChange) return known.body;
    const body = make();
    const entry = { range, revision: this.lastChange, body };
    this.#joined = entry;
    this.#clock.after(10_000, () => {
      if (this.#joined === entry) this.#joined = undefined;
    });
    return body;
  }

  put(object: StoredObject): CacheEvent {
    const previous = this.#objects.get(object.key);
    this.#objects.set(object.key, object);
    if (previous === undefined) {
      const last = this.#keys.at(-1);
      if (last === undefined || last < object.key) this.#keys.push(object.key);
      else this.#keys.splice(lowerBound(this.#keys, object.key), 0, object.key);
    }
    return this.#record({
      type: previous === undefined ? 'ADDED' : 'MODIFIED',
      revision: object.revision,
      current: object,
      previous,
      shared: undefined,
    });
  }

  remove(key: string, revision: number): CacheEvent | undefined {
    const previous = this.#objects.get(key);
    if (previous === undefined) return undefined;
    this.#objects.delete(key);
    this.#keys.splice(lowerBound(this.#keys, key), 1);
    return this.#record({
      type: 'DELETED',
      revision,
      current: previous.reissued(revision),
      previous,
      shared: undefined,
    });
  }

  #record(event: CacheEvent): CacheEvent {
    this.lastChange = event.revision;
    this.#joined = undefined;
    const bytes = event.current.size + (event.type === 'DELETED' ? event.previous!.size : 0);
    this.#events.push({ event, at: this.#clock.now(), bytes });
    this.#eventBytes += bytes;
    // In blocks: shifting one by one would move the array with every event.
    if (this.#events.length > window.most * 1.25 || this.#eventBytes > window.bytes * 1.25) this.#trim();
    if (this.#events.length > window.least * 2) this.#trimLater(window.milliseconds);
    return event;
  }

  #trim(): void {
    const oldest = this.#clock.now() - window.milliseconds;
    const droppable = Math.max(0, this.#events.length - window.least);
    let drop = 0;
    for (; drop < droppable; drop++) {
      const { at, bytes } = this.#events[drop]!;
      const fits = this.#events.length - drop <= window.most && this.#eventBytes <= window.bytes;
      if (fits && at > oldest) break;
      this.#eventBytes -= bytes;
    }
    if (drop === 0) return;
    this.#since = this.#events[drop - 1]!.event.revision;
    this.#events.splice(0, drop);
  }

  #trimLater(ms: number): void {
    this.#trimming ??= this.#clock.after(ms, () => {
      this.#trimming = undefined;
      this.#trim();
      if (this.#events.length <= window.least * 2) return;
      this.#trimLater(this.#events[0]!.at + window.milliseconds - this.#clock.now() + trimStep);
    });
  }

  /** Changes after `revision`. Throws `gone` when they are no longer known. */
  eventsAfter(revision: number): CacheEvent[] {
    if (revision < this.#since) {
      throw statusError('gone', `too old resource version: ${revision} (${this.#since})`);
    }
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#events[middle]!.event.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low).map((item) => item.event);
  }

  watch(watcher: Watcher): Disposable {
    const set = watcher.namespace === '' ? this.#everywhere : this.#watchersOf(watcher.namespace);
    set.add(watcher);
    return {
      [Symbol.dispose]: () => {
        set.delete(watcher);
        if (set !== this.#everywhere && set.size === 0) this.#inNamespace.delete(watcher.namespace);
      },
    };
  }

  #watchersOf(namespace: string): Set<Watcher> {
    let set = this.#inNamespace.get(namespace);
    if (set === undefined) {
      set = new Set();
      this.#inNamespace.set(namespace, set);
    }
    return set;
  }

  get watchers(): number {
    let count = this.#everywhere.size;
    for (const set of this.#inNamespace.values()) count += set.size;
    return count;
  }

  /** Hands a batch of this resource's events to its watchers. */
  dispatch(events: readonly CacheEvent[]): void {
    for (const watcher of [...this.#everywhere]) watcher.deliver(events);
    if (this.#inNamespace.size > 0) {
      for (const [namespace, watchers] of [...this.#inNamespace]) {
        const prefix = `${namespace}/`;
        const own = events.filter((event) => event.current.key.startsWith(prefix));
        if (own.length > 0) for (const watcher of [...watchers]) watcher.deliver(own);
      }
    }
    for (const event of events) event.shared = undefined;
  }

  bookmark(revision: number): void {
    for (const watcher of this.#all()) watcher.bookmark?.(revision);
  }

  failAll(error: unknown): void {
    this.#trimming?.[Symbol.dispose]();
    this.#trimming = undefined;
    for (const watcher of this.#all()) watcher.fail(error);
  }

  #all(): Watcher[] {
    return [...this.#everywhere, ...[...this.#inNamespace.values()].flatMap((set) => [...set])];
  }
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
