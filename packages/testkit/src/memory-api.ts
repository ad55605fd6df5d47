import {
  alreadyExistsError,
  conflictError,
  notFoundError,
  parseFieldSelector,
  parseLabelSelector,
  statusError,
  timeText,
  type V1ObjectMeta,
  type V1Status,
} from '@wherry/api';
import { AsyncQueue, type Clock, type Random, systemClock, systemRandom } from '@wherry/base';
import {
  type ApiClient,
  draftOf,
  equalJson,
  freezeDeep,
  type KubeObject,
  keyOf,
  type ObjectList,
  type ObjectName,
  type ResourceId,
  type SelectOptions,
  splitKey,
  type WatchEvent,
} from '@wherry/client';
import jsonPatch from 'fast-json-patch';

interface Loose extends KubeObject {
  metadata?: V1ObjectMeta;
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
}

interface Table {
  readonly resource: ResourceId;
  readonly objects: Map<string, Loose>;
  readonly history: { version: number; before: Loose | undefined; after: Loose | undefined; object: Loose }[];
  readonly watchers: Set<(entry: Table['history'][number]) => void>;
}

/** Decides for a call whether it fails, and how. */
export type Fault = (verb: string, resource: ResourceId, key: string) => Error | undefined;

/** One call that changed something, for assertions on the number and kind of writes. */
export interface MemoryWrite {
  readonly verb: 'create' | 'update' | 'patch' | 'delete';
  readonly resource: string;
  readonly key: string;
  readonly subresource?: string | undefined;
}

/** The in-memory API: an `ApiClient` with ways to look in and to break it. */
export interface MemoryApi extends ApiClient {
  /** Every accepted write, in order. */
  readonly writes: readonly MemoryWrite[];
  /** Throws what `fault` gives for a call, before it has any effect; `undefined` takes the fault away. */
  failWith(fault: Fault | undefined): void;
  /** Forgets the history: watches from earlier versions fail with `gone`. */
  compact(): void;
  /** Ends every open watch, as a server that restarts does. */
  breakWatches(): void;
  /** What is stored, without a promise. */
  all<T extends KubeObject>(resource: ResourceId): readonly T[];
  peek<T extends KubeObject>(resource: ResourceId, key: string): T | undefined;
}

/**
 * An API server of a few maps: versions, conflicts, uids, generateName, finalizers, graceful
 * deletion of bound pods, status kept apart, watches with resume. It knows no schema, defaults or
 * validation, and unlike the real one keeps the `status` of a created object, so that tests can
 * set a scene in one call. `strategic` and `apply` patches are taken as merge patches.
 */
export function createMemoryApi({
  clock = systemClock,
  random = systemRandom,
}: {
  clock?: Clock;
  random?: Random;
} = {}): MemoryApi {
  return new Memory(clock, random);
}

class Memory implements MemoryApi {
  readonly writes: MemoryWrite[] = [];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #tables = new Map<string, Table>();
  readonly #closers = new Set<() => void>();
  #version = 0;
  #compacted = 0;
  #fault: Fault | undefined;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  failWith(fault: Fault | undefined): void {
    this.#fault = fault;
  }

  compact(): void {
    this.#compacted = this.#version;
    for (const table of this.#tables.values()) table.history.length = 0;
  }

  breakWatches(): void {
    for (const close of [...this.#closers]) close();
  }

  all<T extends KubeObject>(resource: ResourceId): readonly T[] {
    return [...this.#table(resource).objects.values()] as KubeObject[] as T[];
  }

  peek<T extends KubeObject>(resource: ResourceId, key: string): T | undefined {
    return this.#table(resource).objects.get(key) as KubeObject as T | undefined;
  }

  async get<T extends KubeObject>(resource: ResourceId, at: ObjectName): Promise<T> {
    this.#check('get', resource, nameKey(at));
    return this.#must(resource, at) as KubeObject as T;
  }

  async list<T extends KubeObject>(resource: ResourceId, options: SelectOptions = {}): Promise<ObjectList<T>> {
    this.#check('list', resource, options.namespace ?? '');
    const select = selection(options);
    const items = this.all<Loose>(resource).filter(select) as KubeObject[] as T[];
    return { resourceVersion: String(this.#version), items };
  }

  async *watch<T extends KubeObject>(
    resource: ResourceId,
    { resourceVersion, signal, ...options }: SelectOptions & { resourceVersion: string; signal: AbortSignal },
  ): AsyncGenerator<WatchEvent<T>> {
    this.#check('watch', resource, options.namespace ?? '');
    const from = Number(resourceVersion);
    if (from < this.#compacted) throw statusError('gone', `too old resource version: ${from} (${this.#compacted})`);
    const table = this.#table(resource);
    const select = selection(options);
    const queue = new AsyncQueue<WatchEvent<T>>();
    const deliver = (entry: Table['history'][number]): void => {
      if (entry.version <= from) return;
      const was = entry.before !== undefined && select(entry.before);
      const is = entry.after !== undefined && select(entry.after);
      const type = is ? (was ? 'MODIFIED' : 'ADDED') : was ? 'DELETED' : undefined;
      if (type) queue.push({ type, object: entry.object as KubeObject as T });
    };
    for (const entry of table.history) deliver(entry);
    const close = (): void => queue.end();
    table.watchers.add(deliver);
    this.#closers.add(close);
    signal.addEventListener('abort', close, { once: true });
    if (signal.aborted) close();
    try {
      yield* queue;
    } finally {
      table.watchers.delete(deliver);
      this.#closers.delete(close);
      signal.removeEventListener('abort', close);
    }
  }

  async create<T extends KubeObject>(resource: ResourceId, object: T): Promise<T> {
    const draft = draftOf(object) as Loose;
    const metadata: V1ObjectMeta = { ...draft.metadata };
    if (!metadata.name && metadata.generateName) metadata.name = metadata.generateName + this.#random.suffix(5);
    draft.metadata = metadata;
    const key = keyOf(draft);
    this.#check('create', resource, key);
    if (!metadata.name) throw statusError('invalid', 'name or generateName is required');
    if (resource.namespaced && !metadata.namespace) throw statusError('invalid', 'namespace is required');
    if (this.#table(resource).objects.has(key)) throw alreadyExistsError({ ...resource }, metadata.name);
    metadata.uid = metadata.uid ?? this.#random.uuid();
    metadata.creationTimestamp = metadata.creationTimestamp ?? timeText(this.#clock.now());
    if (draft.spec !== undefined) metadata.generation = 1;
    return this.#commit(resource, key, undefined, draft, { verb: 'create' }) as KubeObject as T;
  }

  async update<T extends KubeObject>(
    resource: ResourceId,
    object: T,
    { subresource }: { subresource?: string } = {},
  ): Promise<T> {
    const key = keyOf(object);
    this.#check('update', resource, key);
    const old = this.#must(resource, splitName(key));
    const { resourceVersion, uid } = object.metadata ?? {};
    if ((resourceVersion && resourceVersion !== old.metadata?.resourceVersion) || (uid && uid !== old.metadata?.uid))
      throw conflictError(
        resource,
        splitKey(key).name,
        'the object has been modified; please apply your changes to the latest version and try again',
      );
    return this.#replace(resource, key, old, draftOf(object) as Loose, 'update', subresource) as KubeObject as T;
  }

  async patch<T extends KubeObject>(
    resource: ResourceId,
    at: ObjectName,
    type: string,
    patch: unknown,
    { subresource }: { subresource?: string } = {},
  ): Promise<T> {
    const key = nameKey(at);
    this.#check('patch', resource, key);
    const old = this.#table(resource).objects.get(key);
    if (old === undefined && type === 'apply') return this.create<T>(resource, patch as T);
    if (old === undefined) throw notFoundError(resource, at.name);
    const wanted = (patch as { metadata?: V1ObjectMeta }).metadata;
    if (type !== 'json' && wanted?.resourceVersion && wanted.resourceVersion !== old.metadata?.resourceVersion)
      throw conflictError(resource, at.name, 'the object has been modified');
    if (type !== 'json' && wanted?.uid && wanted.uid !== old.metadata?.uid)
      throw conflictError(resource, at.name, 'the uid does not match');
    const draft =
      type === 'json'
        ? (jsonPatch.applyPatch(draftOf(old), draftOf(patch) as never, true).newDocument as Loose)
        : (merged(draftOf(old), patch) as Loose);
    return this.#replace(resource, key, old, draft, 'patch', subresource) as KubeObject as T;
  }

  async delete(
    resource: ResourceId,
    at: ObjectName,
    options: {
      gracePeriodSeconds?: number | undefined;
      propagationPolicy?: string | undefined;
      preconditions?: { uid?: string; resourceVersion?: string } | undefined;
    } = {},
  ): Promise<V1Status | KubeObject> {
    const key = nameKey(at);
    this.#check('delete', resource, key);
    const old = this.#must(resource, at);
    const { uid, resourceVersion } = options.preconditions ?? {};
    if ((uid && uid !== old.metadata?.uid) || (resourceVersion && resourceVersion !== old.metadata?.resourceVersion))
      throw conflictError(resource, at.name, 'the precondition does not hold');
    const finalizers = new Set(old.metadata?.finalizers ?? []);
    if (options.propagationPolicy === 'Foreground') finalizers.add('foregroundDeletion');
    if (options.propagationPolicy === 'Orphan') finalizers.add('orphan');
    if (resource.resource === 'namespaces' && (old.spec?.finalizers as string[] | undefined)?.length)
      finalizers.add('');
    const pod = resource.resource === 'pods' && resource.group === '';
    const bound = pod && Boolean(old.spec?.nodeName) && !['Succeeded', 'Failed'].includes(String(old.status?.phase));
    const asked = options.gracePeriodSeconds ?? (old.spec?.terminationGracePeriodSeconds as number | undefined) ?? 30;
    const grace = bound ? asked : 0;
    if (finalizers.size === 0 && grace === 0) return this.#commit(resource, key, old, undefined, { verb: 'delete' });
    const draft = draftOf(old);
    finalizers.delete('');
    draft.metadata = {
      ...draft.metadata,
      ...(finalizers.size > 0 ? { finalizers: [...finalizers] } : {}),
      deletionTimestamp: draft.metadata?.deletionTimestamp ?? timeText(this.#clock.now() + grace * 1000),
      deletionGracePeriodSeconds: grace,
    };
    if (resource.resource === 'namespaces') draft.status = { ...draft.status, phase: 'Terminating' };
    return this.#commit(resource, key, old, draft, { verb: 'delete' });
  }

  async createSubresource<T extends KubeObject>(
    resource: ResourceId,
    at: ObjectName,
    subresource: string,
    body: KubeObject,
  ): Promise<T> {
    const key = nameKey(at);
    this.#check(subresource, resource, key);
    const old = this.#must(resource, at);
    if (subresource === 'eviction') return (await this.delete(resource, at)) as T;
    if (subresource !== 'binding') return body as T;
    if (old.spec?.nodeName) throw conflictError(resource, at.name, `pod ${at.name} is already assigned to node`);
    const draft = draftOf(old);
    const conditions = ((draft.status?.conditions ?? []) as { type: string }[]).filter(
      (c) => c.type !== 'PodScheduled',
    );
    const now = timeText(this.#clock.now());
    draft.spec = { ...draft.spec, nodeName: (body as unknown as { target: { name: string } }).target.name };
    draft.status = {
      ...draft.status,
      conditions: [...conditions, { type: 'PodScheduled', status: 'True', lastTransitionTime: now }],
    };
    return this.#commit(resource, key, old, draft, { verb: 'create', subresource }) as KubeObject as T;
  }

  #replace(
    resource: ResourceId,
    key: string,
    old: Loose,
    draft: Loose,
    verb: 'update' | 'patch',
    subresource: string | undefined,
  ): Loose {
    // As the real one: a status update takes annotations along, but neither spec nor labels.
    const metadata = { ...draftOf(old.metadata), annotations: draft.metadata?.annotations };
    const next = subresource === 'status' ? { ...draftOf(old), metadata, status: draft.status ?? {} } : draft;
    if (subresource === undefined && old.status !== undefined) next.status = draftOf(old.status);
    const { uid, creationTimestamp, deletionTimestamp, generation = 0 } = old.metadata ?? {};
    const changed = !equalJson(old.spec, next.spec);
    next.metadata = {
      ...next.metadata,
      uid,
      creationTimestamp,
      deletionTimestamp,
      generation: changed ? generation + 1 : generation,
      resourceVersion: old.metadata?.resourceVersion,
    };
    if (equalJson(next, old)) return old;
    const grace = next.metadata.deletionGracePeriodSeconds ?? 0;
    const ending = deletionTimestamp !== undefined && !next.metadata.finalizers?.length && grace === 0;
    const holds = resource.resource === 'namespaces' && (next.spec?.finalizers as string[] | undefined)?.length;
    if (ending && !holds) return this.#commit(resource, key, old, undefined, { verb, subresource }, next);
    return this.#commit(resource, key, old, next, { verb, subresource });
  }

  #commit(
    resource: ResourceId,
    key: string,
    before: Loose | undefined,
    after: Loose | undefined,
    how: Pick<MemoryWrite, 'verb' | 'subresource'>,
    last?: Loose,
  ): Loose {
    const table = this.#table(resource);
    const version = ++this.#version;
    const draft = draftOf(after ?? last ?? before!);
    const object = freezeDeep({ ...draft, metadata: { ...draft.metadata, resourceVersion: String(version) } });
    if (after) table.objects.set(key, object);
    else table.objects.delete(key);
    this.writes.push({ ...how, resource: resource.resource, key });
    const entry = { version, before, after: after ? object : undefined, object };
    table.history.push(entry);
    for (const deliver of [...table.watchers]) deliver(entry);
    return object;
  }

  #check(verb: string, resource: ResourceId, key: string): void {
    const error = this.#fault?.(verb, resource, key);
    if (error) throw error;
  }

  #must(resource: ResourceId, at: ObjectName): Loose {
    const found = this.#table(resource).objects.get(nameKey(at));
    if (found === undefined) throw notFoundError(resource, at.name);
    return found;
  }

  #table(resource: ResourceId): Table {
    const path = `${resource.group}/${resource.resource}`;
    let table = this.#tables.get(path);
    if (table === undefined) {
      table = { resource, objects: new Map(), history: [], watchers: new Set() };
      this.#tables.set(path, table);
    }
    return table;
  }
}

function nameKey({ namespace, name }: ObjectName): string {
  return namespace ? `${namespace}/${name}` : name;
}

function splitName(key: string): ObjectName {
  const { namespace, name } = splitKey(key);
  return namespace === undefined ? { name } : { namespace, name };
}

function selection({ namespace, labelSelector, fieldSelector }: SelectOptions): (object: Loose) => boolean {
  const labels = parseLabelSelector(labelSelector ?? '');
  const fields = parseFieldSelector(fieldSelector ?? '');
  return (object) => {
    if (namespace && object.metadata?.namespace !== namespace) return false;
    if (!labels.matches(object.metadata?.labels)) return false;
    return fields.requirements.every(({ field, operator, value }) => {
      let at: unknown = object;
      for (const step of field.split('.')) at = (at as Record<string, unknown> | undefined)?.[step];
      return (String(at ?? '') === value) === (operator === '=');
    });
  };
}

/** JSON merge patch (RFC 7396). */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return draftOf(patch);
  const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {};
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (value !== undefined) result[key] = merged(result[key], value);
  }
  return result;
}
