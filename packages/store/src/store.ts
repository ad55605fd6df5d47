/**
 * The store: a flat, ordered, versioned map from keys to bytes (MVCC), small enough that an
 * embedded library and etcd v3 both implement it. Revisions are global, start at 1 and grow by one
 * with each change; a key's `modRevision` is the revision of its last change (etcd's data model).
 */
export type Revision = number;

export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
}

export interface ListOptions {
  /** List as the store was at this revision (default: now). Throws `gone` if it was compacted. */
  readonly revision?: Revision | undefined;
  /** At most this many (default: all). */
  readonly limit?: number | undefined;
  /** Begin at this key (inclusive) instead of at the prefix: for paging. */
  readonly start?: string | undefined;
}

export interface ListResult {
  /** The revision that the list shows. */
  readonly revision: Revision;
  readonly items: readonly KeyValue[];
  /** Whether keys follow the last item. */
  readonly more: boolean;
  /** How many keys under the prefix follow the last item (for `remainingItemCount`). */
  readonly remaining: number;
}

export type WriteResult =
  | { readonly ok: true; readonly revision: Revision }
  /** The compare failed; `current` is what stands there (`undefined`: nothing). */
  | { readonly ok: false; readonly current: KeyValue | undefined };

export type StoreEvent =
  | { readonly type: 'put'; readonly kv: KeyValue; readonly previous: KeyValue | undefined }
  | {
      readonly type: 'delete';
      readonly key: string;
      readonly revision: Revision;
      readonly previous: KeyValue | undefined;
    };

export interface WatchBatch {
  /** All events up to this revision were delivered. */
  readonly revision: Revision;
  readonly events: readonly StoreEvent[];
}

export interface Store extends AsyncDisposable {
  /** The newest revision. */
  revision(): Promise<Revision>;
  get(key: string, options?: { revision?: Revision | undefined }): Promise<KeyValue | undefined>;
  /** Keys that begin with `prefix`, in byte order. */
  list(prefix: string, options?: ListOptions): Promise<ListResult>;
  /**
   * Writes when the key's `modRevision` is `expected` (0: the key must not exist; `undefined`:
   * write in any case). Resolves once the change is durable on disk, after which no crash loses it.
   */
  put(key: string, value: Uint8Array, expected?: Revision): Promise<WriteResult>;
  /** Deletes under the same condition as `put`; the revision of the deletion is given back. */
  delete(key: string, expected?: Revision): Promise<WriteResult>;
  /**
   * Events under `prefix` with a revision greater than `after`, in order of revision, without
   * gaps; one event per change. Throws `gone` when `after` is older than the last compaction.
   * The iteration ends when the signal fires.
   */
  watch(prefix: string, after: Revision, options: { signal: AbortSignal }): AsyncIterable<WatchBatch>;
  /** Forgets the versions that were replaced or deleted at or before `revision`. */
  compact(revision: Revision): Promise<void>;
}
