import type { V1ObjectMeta, V1Status } from '@wherry/api';

/** A resource of the API by its path: `{ group: 'apps', version: 'v1', resource: 'deployments' }`; the core group is `''`. */
export interface ResourceId {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespaced: boolean;
}

/** What every object has. Objects from the client are frozen and shared: never change one, copy it. */
export interface KubeObject {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  readonly metadata?: V1ObjectMeta | undefined;
}

export interface ObjectList<T> {
  readonly resourceVersion: string;
  readonly items: readonly T[];
  readonly continue?: string | undefined;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: { readonly metadata: V1ObjectMeta } };

export interface SelectOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ListOptions extends SelectOptions {
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WatchOptions extends SelectOptions {
  /** Deliver what changed after this version. */
  readonly resourceVersion: string;
  readonly signal: AbortSignal;
}

export interface WriteOptions {
  readonly dryRun?: boolean | undefined;
  readonly fieldManager?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground' | undefined;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string } | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

/** Where one object is: `namespace` is left out for cluster-scoped resources. */
export interface ObjectName {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/**
 * The Kubernetes API as its users inside the process see it. Two implementations: one that calls
 * the API server's pipeline directly (authorised as its user, no sockets, no serialisation), and
 * one over HTTPS. Failures are `WherryError`s: `notFound`, `alreadyExists`, `conflict`, `invalid`,
 * `forbidden`, `gone` …; `details.status` holds the `V1Status` where the server gave one.
 */
export interface ApiClient {
  get<T extends KubeObject>(resource: ResourceId, at: ObjectName, options?: { signal?: AbortSignal }): Promise<T>;
  list<T extends KubeObject>(resource: ResourceId, options?: ListOptions): Promise<ObjectList<T>>;
  /** Ends when the signal fires; throws `gone` when the version is too old (list again then). */
  watch<T extends KubeObject>(resource: ResourceId, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  /** `metadata.namespace` of the object tells where. */
  create<T extends KubeObject>(resource: ResourceId, object: T, options?: WriteOptions): Promise<T>;
  /**
   * Replaces; `metadata.resourceVersion`, when set, must be the current one. `subresource` is
   * `status`, `scale`, or `finalize` (namespaces: PUT of the object with fewer `spec.finalizers`).
   */
  update<T extends KubeObject>(
    resource: ResourceId,
    object: T,
    options?: WriteOptions & { subresource?: 'status' | 'scale' | 'finalize' },
  ): Promise<T>;
  patch<T extends KubeObject>(
    resource: ResourceId,
    at: ObjectName,
    type: PatchType,
    patch: unknown,
    options?: WriteOptions & { subresource?: 'status' | 'scale'; force?: boolean },
  ): Promise<T>;
  delete(resource: ResourceId, at: ObjectName, options?: DeleteOptions): Promise<V1Status | KubeObject>;
  /** POST to a subresource: `binding` and `eviction` of pods, `token` of service accounts. */
  createSubresource<T extends KubeObject>(
    resource: ResourceId,
    at: ObjectName,
    subresource: string,
    body: KubeObject,
  ): Promise<T>;
}
