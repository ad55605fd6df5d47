import type { ApiObject, KindDeclaration } from '@wherry/api';
import { statusError } from '@wherry/api';
import { type Clock, codeOf, type Logger, messageOf, sleep } from '@wherry/base';
import type { KeyValue, Store, WatchBatch } from '@wherry/store';
import { type Catalog, isStored } from './catalog.ts';
import { type CacheEvent, ResourceCache } from './resource-cache.ts';
import { encodeStored, StoredObject } from './stored-object.ts';

/** Everything of the API lives under this prefix of the store. */
const root = '/registry/';

/** How long after a change bookmarks are sent to the watchers who asked for them. */
const bookmarkDelay = 60_000;

export type PutResult =
  | { readonly ok: true; readonly stored: StoredObject }
  /** The object is not at the expected revision any more; the cache has caught up with what stands there. */
  | { readonly ok: false };

interface Pending {
  readonly raw: Uint8Array;
  readonly object: ApiObject;
}

/**
 * The objects of all resources: written to the store, read from memory. One pass over the store at
 * start, one watch of it afterwards. A writer waits until the cache has seen its write, so that
 * whoever reads after an acknowledged write finds it.
 */
export class Registry implements AsyncDisposable {
  readonly store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #caches = new Map<string, ResourceCache>();
  readonly #stop = new AbortController();
  #following: Promise<void> | undefined;
  #revision = 0;
  readonly #waiting: { revision: number; resolve: () => void; reject: (error: unknown) => void }[] = [];
  readonly #pending = new Map<string, Pending>();
  #bookmarkArmed = false;
  #problem: string | undefined;
  readonly #onChange = new Set<() => void>();

  constructor(store: Store, clock: Clock, log: Logger) {
    this.store = store;
    this.#clock = clock;
    this.#log = log;
  }

  /** Loads the store and begins to follow it. */
  static async open(store: Store, catalog: Catalog, clock: Clock, log: Logger): Promise<Registry> {
    const registry = new Registry(store, clock, log);
    for (const kind of catalog.kinds) {
      if (kind.view === undefined && isStored(kind)) registry.#caches.set(prefixOf(kind), new ResourceCache(clock, 0));
    }
    await registry.#load();
    registry.#following = registry.#follow();
    return registry;
  }

  /** The revision that the cache shows. */
  get revision(): number {
    return this.#revision;
  }

  /** Why the store cannot be followed at the moment, for health checks. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Called after each batch of changes. */
  onChange(listener: () => void): Disposable {
    this.#onChange.add(listener);
    return { [Symbol.dispose]: () => this.#onChange.delete(listener) };
  }

  /** The cache of a kind that is stored. */
  cacheOf(storage: KindDeclaration): ResourceCache {
    const cache = this.#caches.get(prefixOf(storage));
    if (cache === undefined) throw new Error(`${storage.resource} is not stored`);
    return cache;
  }

  get caches(): ReadonlyMap<string, ResourceCache> {
    return this.#caches;
  }

  /** Writes an object; `expected` 0 means that it must not exist yet. The object belongs to the registry from here on. */
  async put(
    storage: KindDeclaration,
    key: string,
    object: ApiObject,
    expected: number,
    raw = encodeStored(object),
  ): Promise<PutResult> {
    const path = storeKey(storage, key);
    const pending: Pending = { raw, object };
    this.#pending.set(path, pending);
    try {
      const result = await this.store.put(path, raw, expected);
      if (!result.ok) {
        if (result.current !== undefined) await this.waitFor(result.current.modRevision);
        else await this.#catchUp();
        return { ok: false };
      }
      await this.waitFor(result.revision);
      const stored = this.cacheOf(storage).get(key);
      // Somebody may have written again meanwhile; the caller is told of its own write.
      if (stored?.revision === result.revision) return { ok: true, stored };
      return { ok: true, stored: new StoredObject(key, result.revision, raw) };
    } finally {
      if (this.#pending.get(path) === pending) this.#pending.delete(path);
    }
  }

  /** Removes an object at a revision; gives whether it was still the one. */
  async remove(storage: KindDeclaration, key: string, expected: number): Promise<{ ok: boolean; revision: number }> {
    const result = await this.store.delete(storeKey(storage, key), expected);
    if (!result.ok) {
      if (result.current !== undefined) await this.waitFor(result.current.modRevision);
      else await this.#catchUp();
      return { ok: false, revision: 0 };
    }
    await this.waitFor(result.revision);
    return { ok: true, revision: result.revision };
  }

  async #catchUp(): Promise<void> {
    await this.waitFor(await this.store.revision());
  }

  /** Resolves once the cache shows `revision`. */
  waitFor(revision: number): Promise<void> | undefined {
    if (this.#revision >= revision) return undefined;
    return new Promise((resolve, reject) => this.#waiting.push({ revision, resolve, reject }));
  }

  /** Objects of a resource as they were at `revision`, read from the store's history. */
  async listAt(
    storage: KindDeclaration,
    namespace: string,
    options: { revision: number; start: string; limit?: number | undefined },
  ): Promise<{ readonly items: StoredObject[]; readonly more: boolean; readonly remaining: number }> {
    const base = `${root}${prefixOf(storage)}`;
    const prefix = namespace === '' ? base : `${base}${namespace}/`;
    const result = await this.store.list(prefix, {
      revision: options.revision,
      ...(options.start === '' ? {} : { start: base + options.start }),
      ...(options.limit === undefined ? {} : { limit: options.limit }),
    });
    return {
      items: result.items.map((kv) => new StoredObject(kv.key.slice(base.length), kv.modRevision, kv.value)),
      more: result.more,
      remaining: result.remaining,
    };
  }

  async #load(): Promise<void> {
    const { items, revision } = await this.store.list(root);
    const grouped = new Map<string, StoredObject[]>();
    for (const kv of items) {
      const prefix = this.#prefix(kv.key);
      if (prefix === undefined) continue;
      let group = grouped.get(prefix);
      if (group === undefined) {
        group = [];
        grouped.set(prefix, group);
      }
      group.push(objectOf(kv, prefix));
    }
    for (const [prefix, cache] of this.#caches) cache.load(grouped.get(prefix) ?? [], revision);
    this.#advance(revision);
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        for await (const batch of this.store.watch(root, this.#revision, { signal })) this.#apply(batch);
        if (signal.aborted) return;
      } catch (error) {
        if (signal.aborted) return;
        this.#log.error('the watch of the store failed', { error: messageOf(error), code: codeOf(error) });
        this.#problem = messageOf(error);
        await this.#recover(signal);
      }
    }
  }

  async #recover(signal: AbortSignal): Promise<void> {
    const gone = statusError('gone', `too old resource version: the server had to reload its cache`);
    for (const cache of this.#caches.values()) cache.failAll(gone);
    for (let wait = 50; !signal.aborted; wait = Math.min(wait * 2, 5_000)) {
      try {
        await this.#load();
        this.#problem = undefined;
        return;
      } catch (error) {
        this.#log.error('reading the store failed', { error: messageOf(error) });
        await sleep(this.#clock, wait, { signal }).catch(() => undefined);
      }
    }
  }

  #apply(batch: WatchBatch): void {
    const changed = new Map<ResourceCache, CacheEvent[]>();
    for (const event of batch.events) {
      const key = event.type === 'put' ? event.kv.key : event.key;
      const prefix = this.#prefix(key);
      if (prefix === undefined) continue;
      const cache = this.#caches.get(prefix)!;
      const change =
        event.type === 'put'
          ? cache.put(this.#adopt(objectOf(event.kv, prefix), event.kv))
          : cache.remove(key.slice(root.length + prefix.length), event.revision);
      if (change === undefined) continue;
      const list = changed.get(cache);
      if (list === undefined) changed.set(cache, [change]);
      else list.push(change);
    }
    this.#advance(batch.revision);
    for (const [cache, events] of changed) cache.dispatch(events);
    this.#armBookmarks();
    for (const listener of this.#onChange) listener();
  }

  /** Gives a version the decoded form that its writer holds, instead of decoding it again. */
  #adopt(stored: StoredObject, kv: KeyValue): StoredObject {
    const pending = this.#pending.get(kv.key);
    if (pending !== undefined && stored.isEncodedAs(pending.raw)) {
      this.#pending.delete(kv.key);
      stored.adopt(pending.object);
    }
    return stored;
  }

  #advance(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    if (this.#waiting.length === 0) return;
    let kept = 0;
    for (const waiter of this.#waiting) {
      if (waiter.revision <= this.#revision) waiter.resolve();
      else this.#waiting[kept++] = waiter;
    }
    this.#waiting.length = kept;
  }

  #armBookmarks(): void {
    if (this.#bookmarkArmed) return;
    this.#bookmarkArmed = true;
    this.#clock.after(bookmarkDelay, () => {
      this.#bookmarkArmed = false;
      for (const cache of this.#caches.values()) cache.bookmark(this.#revision);
    });
  }

  /** `pods/` or `apps/deployments/` for a key of the store, when such a resource is known. */
  #prefix(key: string): string | undefined {
    const first = key.indexOf('/', root.length);
    if (first < 0) return undefined;
    const core = key.slice(root.length, first + 1);
    if (this.#caches.has(core)) return core;
    const second = key.indexOf('/', first + 1);
    if (second < 0) return undefined;
    const grouped = key.slice(root.length, second + 1);
    return this.#caches.has(grouped) ? grouped : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#following;
    const closed = statusError('unavailable', 'the server is shutting down');
    for (const cache of this.#caches.values()) cache.failAll(closed);
    for (const waiter of this.#waiting.splice(0)) waiter.reject(closed);
  }
}

function prefixOf(kind: KindDeclaration): string {
  return kind.group === '' ? `${kind.resource}/` : `${kind.group}/${kind.resource}/`;
}

function storeKey(kind: KindDeclaration, key: string): string {
  return `${root}${prefixOf(kind)}${key}`;
}

function objectOf(kv: KeyValue, prefix: string): StoredObject {
  return new StoredObject(kv.key.slice(root.length + prefix.length), kv.modRevision, kv.value);
}
