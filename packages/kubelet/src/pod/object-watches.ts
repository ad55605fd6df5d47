import type { V1ConfigMap, V1Secret } from '@wherry/api';
import { type Clock, codeOf, type Deferred, deferred, type Logger, messageOf, sleep } from '@wherry/base';
import { type ApiClient, resources } from '@wherry/client';
import type { ObjectReference } from './references.ts';

type Referenced = V1ConfigMap | V1Secret;

interface Watched {
  readonly key: string;
  readonly users: Set<string>;
  readonly stop: AbortController;
  ready: Deferred<void>;
  object: Referenced | undefined;
}

/** Settings of `ObjectWatches`. */
export interface ObjectWatchesOptions {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called with the uid of each pod that refers to an object that appeared, changed or went. */
  readonly onChange: (podUid: string) => void;
}

/**
 * Follows exactly the ConfigMaps and Secrets that pods of this node refer to: one list and watch for
 * each object, shared by its pods and ended with the last of them. An immutable object is read once.
 */
export class ObjectWatches {
  readonly #options: ObjectWatchesOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #ofPod = new Map<string, ReadonlySet<string>>();

  constructor(options: ObjectWatchesOptions) {
    this.#options = options;
  }

  /** Sets what a pod refers to; nothing: forgets the pod. */
  track(podUid: string, namespace: string, references: readonly ObjectReference[]): void {
    const wanted = new Map(references.map((reference) => [keyOf(namespace, reference), reference]));
    for (const key of this.#ofPod.get(podUid) ?? []) if (!wanted.has(key)) this.#release(podUid, key);
    for (const [key, reference] of wanted) this.#acquire(podUid, namespace, key, reference);
    if (wanted.size === 0) this.#ofPod.delete(podUid);
    else this.#ofPod.set(podUid, new Set(wanted.keys()));
  }

  async configMap(namespace: string, name: string): Promise<V1ConfigMap | undefined> {
    return (await this.#get(namespace, { kind: 'ConfigMap', name })) as V1ConfigMap | undefined;
  }

  async secret(namespace: string, name: string): Promise<V1Secret | undefined> {
    return (await this.#get(namespace, { kind: 'Secret', name })) as V1Secret | undefined;
  }

  /** Ends every watch. */
  stop(): void {
    for (const watched of this.#watched.values()) watched.stop.abort();
    this.#watched.clear();
    this.#ofPod.clear();
  }

  async #get(namespace: string, reference: ObjectReference): Promise<Referenced | undefined> {
    const watched = this.#watched.get(keyOf(namespace, reference));
    if (watched) {
      await watched.ready.promise;
      return watched.object;
    }
    try {
      return await this.#options.client.get<Referenced>(resourceOf(reference), { namespace, name: reference.name });
    } catch (error) {
      if (codeOf(error) === 'notFound') return undefined;
      throw error;
    }
  }

  #acquire(podUid: string, namespace: string, key: string, reference: ObjectReference): void {
    let watched = this.#watched.get(key);
    if (watched === undefined) {
      watched = { key, users: new Set(), stop: new AbortController(), ready: deferred(), object: undefined };
      watched.ready.promise.catch(() => undefined);
      this.#watched.set(key, watched);
      void this.#follow(watched, namespace, reference);
    }
    watched.users.add(podUid);
  }

  #release(podUid: string, key: string): void {
    const watched = this.#watched.get(key);
    if (watched === undefined) return;
    watched.users.delete(podUid);
    if (watched.users.size > 0) return;
    this.#watched.delete(key);
    watched.stop.abort();
  }

  async #follow(watched: Watched, namespace: string, reference: ObjectReference): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = watched.stop;
    let delay = 500;
    while (!signal.aborted) {
      try {
        if (await this.#listAndWatch(watched, namespace, reference, signal)) return;
        delay = 500;
      } catch (error) {
        if (signal.aborted) break;
        if (codeOf(error) === 'gone') continue;
        log.warn('cannot follow an object that a pod refers to', { object: watched.key, error: messageOf(error) });
        // Who waits gets the failure; who asks later waits for the next attempt.
        watched.ready.reject(error);
        watched.ready = deferred();
        watched.ready.promise.catch(() => undefined);
        for (const uid of watched.users) this.#options.onChange(uid);
        await sleep(clock, delay, { signal }).catch(() => undefined);
        delay = Math.min(delay * 2, 30_000);
      }
    }
    watched.ready.resolve();
  }

  /** Gives true when there is nothing more to follow. */
  async #listAndWatch(
    watched: Watched,
    namespace: string,
    reference: ObjectReference,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { client } = this.#options;
    const resource = resourceOf(reference);
    const select = { namespace, fieldSelector: `metadata.name=${reference.name}` };
    const list = await client.list<Referenced>(resource, { ...select, signal });
    this.#set(watched, list.items[0]);
    watched.ready.resolve();
    if (watched.object?.immutable === true) return true;
    const watch = client.watch<Referenced>(resource, { ...select, resourceVersion: list.resourceVersion, signal });
    for await (const event of watch) {
      if (event.type === 'BOOKMARK') continue;
      this.#set(watched, event.type === 'DELETED' ? undefined : event.object);
    }
    return false;
  }

  #set(watched: Watched, object: Referenced | undefined): void {
    if (watched.object?.metadata?.resourceVersion === object?.metadata?.resourceVersion) return;
    watched.object = object;
    for (const uid of watched.users) this.#options.onChange(uid);
  }
}

function keyOf(namespace: string, { kind, name }: ObjectReference): string {
  return `${kind}/${namespace}/${name}`;
}

function resourceOf({ kind }: ObjectReference): (typeof resources)['configMaps'] {
  return kind === 'ConfigMap' ? resources.configMaps : resources.secrets;
}
