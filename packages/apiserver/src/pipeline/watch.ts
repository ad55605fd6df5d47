import { field, invalidError } from '@wherry/api';
import type { CacheEvent, Watcher } from '../registry/resource-cache.ts';
import type { StoredObject } from '../registry/stored-object.ts';
import type { Core } from './core.ts';
import { parseVersion } from './read.ts';
import type { Target } from './request.ts';
import type { Selection } from './selection.ts';

export interface WatchRequest {
  readonly selection: Selection;
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
  readonly bookmarks: boolean;
  /** `sendInitialEvents` (KEP-3157, streaming lists); `undefined` when it was not given. */
  readonly initialEvents: boolean | undefined;
}

export type WatchType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** Where the events of one watch go. The methods run synchronously and must not throw. */
export interface WatchSink {
  /** `event` is set when the encoding can be shared with other watchers of it. */
  emit(type: WatchType, object: StoredObject, event: CacheEvent | undefined): void;
  /** Called after each group of `emit`s. */
  flush(): void;
  bookmark(revision: number, initialEventsEnd: boolean): void;
  fail(error: unknown): void;
}

/**
 * Starts a watch: what is asked of the past is emitted before this returns, the rest as it happens.
 * Errors: 410 when the version is too old.
 */
export function openWatch(core: Core, target: Target, request: WatchRequest, sink: WatchSink): Disposable {
  const revision = parseVersion(request.resourceVersion);
  checkInitialEvents(request);
  const cache = core.registry.cacheOf(core.catalog.storageOf(target.kind));
  const { selection } = request;
  const start = request.initialEvents === true || (revision === 0 && request.initialEvents === undefined);
  const watcher = new SelectingWatcher(
    target,
    selection,
    start ? core.registry.revision : revision,
    request.bookmarks,
    sink,
  );
  if (start) {
    for (const object of cache.range(target.namespace)) {
      if (selection.matches === undefined || selection.matches(object)) sink.emit('ADDED', object, undefined);
    }
    if (request.initialEvents === true && request.bookmarks) sink.bookmark(core.registry.revision, true);
    sink.flush();
  } else {
    const from = revision === 0 ? core.registry.revision : revision;
    const missed = cache.eventsAfter(from);
    const prefix = target.namespace === '' ? '' : `${target.namespace}/`;
    watcher.deliver(prefix === '' ? missed : missed.filter((event) => event.current.key.startsWith(prefix)));
    for (const event of missed) event.shared = undefined;
  }
  return cache.watch(watcher);
}

function checkInitialEvents(request: WatchRequest): void {
  if (request.initialEvents === undefined) {
    if (request.resourceVersionMatch === '') return;
    throw invalidError({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', [
      field.forbidden(
        'resourceVersionMatch',
        'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
      ),
    ]);
  }
  if (request.resourceVersionMatch === 'NotOlderThan') return;
  throw invalidError({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', [
    request.resourceVersionMatch === ''
      ? field.forbidden(
          'resourceVersionMatch',
          'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
        )
      : field.notSupported('resourceVersionMatch', request.resourceVersionMatch, ['NotOlderThan']),
  ]);
}

/** Turns the changes of a resource into the events of one selection. */
class SelectingWatcher implements Watcher {
  readonly namespace: string;
  readonly #matches: Selection['matches'];
  readonly #sink: WatchSink;
  readonly #bookmarks: boolean;
  #after: number;
  #bookmarked = 0;

  constructor(target: Target, selection: Selection, after: number, bookmarks: boolean, sink: WatchSink) {
    this.namespace = target.namespace;
    this.#matches = selection.matches;
    this.#sink = sink;
    this.#bookmarks = bookmarks;
    this.#after = after;
  }

  deliver(events: readonly CacheEvent[]): void {
    const matches = this.#matches;
    let emitted = false;
    for (const event of events) {
      if (event.revision <= this.#after) continue;
      this.#after = event.revision;
      if (matches === undefined) {
        this.#sink.emit(event.type, event.current, event);
        emitted = true;
      } else if (this.#select(event, matches)) emitted = true;
    }
    if (emitted) this.#sink.flush();
  }

  #select(event: CacheEvent, matches: (object: StoredObject) => boolean): boolean {
    const before = event.previous !== undefined && matches(event.previous);
    const now = event.type !== 'DELETED' && matches(event.current);
    if (now) this.#sink.emit(before ? 'MODIFIED' : 'ADDED', event.current, event);
    else if (before) {
      // Who loses sight of an object is told its last state that matched, under the new version.
      const last = event.type === 'DELETED' ? event.current : event.previous!.reissued(event.revision);
      this.#sink.emit('DELETED', last, event.type === 'DELETED' ? event : undefined);
    }
    return now || before;
  }

  bookmark(revision: number): void {
    if (!this.#bookmarks || revision <= this.#bookmarked || revision <= this.#after) return;
    this.#bookmarked = revision;
    this.#sink.bookmark(revision, false);
    this.#sink.flush();
  }

  fail(error: unknown): void {
    this.#sink.fail(error);
  }
}
