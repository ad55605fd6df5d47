import type { KubeObject } from './client.ts';

export type Change<T> =
  | { readonly type: 'added'; readonly object: T }
  | { readonly type: 'updated'; readonly object: T; readonly previous: T }
  | { readonly type: 'deleted'; readonly object: T };

/**
 * A local copy of a resource that follows the API: list, then watch, and list again when the
 * version is gone. Handlers run synchronously after the copy changed. Objects are frozen and shared.
 */
export interface Informer<T extends KubeObject> {
  /** Resolves after the first list was taken over. */
  readonly synced: Promise<void>;
  /** `namespace/name`, or `name` for cluster-scoped objects. */
  get(key: string): T | undefined;
  list(): readonly T[];
  /** Objects for which the named index function gave `value`. */
  byIndex(index: string, value: string): readonly T[];
  /** Also called with `added` for everything that is already there. Dispose to stop. */
  onChange(handler: (change: Change<T>) => void): Disposable;
}

/** The informers of a process: one per resource and selection, shared by all who ask. */
export interface InformerFactory {
  /** Same arguments, same informer. It starts when the factory runs, or at once if it already does. `indexes` of later callers are added. */
  informer<T extends KubeObject>(
    resource: import('./client.ts').ResourceId,
    options?: {
      readonly namespace?: string;
      readonly labelSelector?: string;
      readonly fieldSelector?: string;
      readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
    },
  ): Informer<T>;
  /** Runs all informers until the signal fires. */
  run(signal: AbortSignal): Promise<void>;
}
