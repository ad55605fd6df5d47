import { setMaxListeners } from 'node:events';
import { type Clock, codeOf, type Logger, messageOf, sleep } from '@wherry/base';
import { backoffDelay } from './backoff.ts';
import type { ApiClient, KubeObject, ResourceId, SelectOptions } from './client.ts';
import type { Change, Informer, InformerFactory } from './informer-contract.ts';
import { LocalCopy } from './local-copy.ts';

/** What informers need from their surroundings. `jitter` gives numbers in [0, 1); default: `Math.random`. */
export interface InformerOptions {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly jitter?: () => number;
}

const pageSize = 1000;
const firstDelay = 200;
const longestDelay = 30_000;

/** A factory of informers over `client`: one informer per resource and selection, shared by all who ask. */
export function createInformerFactory(options: InformerOptions): InformerFactory {
  const informers = new Map<string, ResourceInformer<KubeObject>>();
  const running = new Set<Promise<void>>();
  let life: AbortSignal | undefined;

  const start = (informer: ResourceInformer<KubeObject>): void => {
    const run = informer.run(life!);
    running.add(run);
    void run.finally(() => running.delete(run));
  };

  return {
    informer<T extends KubeObject>(resource: ResourceId, selection: Parameters<InformerFactory['informer']>[1] = {}) {
      const { indexes = {}, ...select } = selection;
      const { group, version, resource: name } = resource;
      const key = [group, version, name, select.namespace, select.labelSelector, select.fieldSelector].join('\n');
      let informer = informers.get(key);
      if (informer === undefined) {
        informer = new ResourceInformer(options, resource, select);
        informers.set(key, informer);
        if (life) start(informer);
      }
      for (const [index, of] of Object.entries(indexes)) informer.copy.addIndex(index, of);
      return informer as unknown as Informer<T>;
    },

    async run(signal) {
      life = signal;
      setMaxListeners(0, signal); // one listener a watch is no leak
      for (const informer of informers.values()) start(informer);
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await Promise.all(running);
    },
  };
}

class ResourceInformer<T extends KubeObject> implements Informer<T> {
  readonly synced: Promise<void>;
  readonly copy: LocalCopy<T>;
  readonly #options: InformerOptions;
  readonly #resource: ResourceId;
  readonly #select: SelectOptions;
  readonly #handlers = new Set<(change: Change<T>) => void>();
  readonly #log: Logger;
  #resolveSynced!: () => void;
  #rejectSynced!: (error: unknown) => void;

  constructor(options: InformerOptions, resource: ResourceId, select: SelectOptions) {
    this.#options = options;
    this.#resource = resource;
    this.#select = select;
    this.#log = options.log.with({ informer: resource.resource });
    this.copy = new LocalCopy((change) => this.#dispatch(change));
    this.synced = new Promise((resolve, reject) => {
      this.#resolveSynced = resolve;
      this.#rejectSynced = reject;
    });
    this.synced.catch(() => undefined); // a process that ends before the first list is no unhandled rejection
  }

  get(key: string): T | undefined {
    return this.copy.get(key);
  }

  list(): readonly T[] {
    return this.copy.list();
  }

  byIndex(index: string, value: string): readonly T[] {
    return this.copy.byIndex(index, value);
  }

  onChange(handler: (change: Change<T>) => void): Disposable {
    const own = (change: Change<T>): void => handler(change);
    for (const object of this.copy.list()) this.#call(own, { type: 'added', object });
    this.#handlers.add(own);
    return { [Symbol.dispose]: () => this.#handlers.delete(own) };
  }

  /** List, then watch, until the signal fires; every failure is retried with a jittered back-off. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, jitter = Math.random } = this.#options;
    let version: string | undefined;
    let failures = 0;
    while (!signal.aborted) {
      try {
        version ??= await this.#list(signal);
        const before = version;
        version = await this.#watch(version, signal);
        // A watch that ended without news is a server that does not hold it open: do not spin.
        failures = version === before ? failures + 1 : 0;
      } catch (failed) {
        if (signal.aborted) break;
        const { error, reached } = failed instanceof WatchFailure ? failed : { error: failed, reached: version };
        if (reached !== version) failures = 0;
        version = codeOf(error) === 'gone' ? undefined : reached;
        failures++;
        this.#log.debug('list or watch failed', { error: messageOf(error), code: codeOf(error), failures });
      }
      if (failures === 0 || signal.aborted) continue;
      if (version === undefined && failures === 1) continue; // first relist after `gone` goes at once
      const delay = backoffDelay(failures, firstDelay, longestDelay) * (0.5 + jitter() / 2);
      await sleep(clock, delay, { signal }).catch(() => undefined);
    }
    this.#rejectSynced(signal.reason);
  }

  async #list(signal: AbortSignal): Promise<string> {
    const items: T[] = [];
    let token: string | undefined;
    for (;;) {
      const page = await this.#options.client.list<T>(this.#resource, {
        ...this.#select,
        limit: pageSize,
        signal,
        ...(token === undefined ? {} : { continue: token }),
      });
      for (const item of page.items) items.push(item);
      if (!page.continue) {
        this.copy.replace(items);
        this.#resolveSynced();
        return page.resourceVersion;
      }
      token = page.continue;
    }
  }

  async #watch(from: string, signal: AbortSignal): Promise<string> {
    let version = from;
    try {
      for await (const event of this.#options.client.watch<T>(this.#resource, {
        ...this.#select,
        resourceVersion: from,
        signal,
      })) {
        if (event.type === 'DELETED') this.copy.remove(event.object);
        else if (event.type !== 'BOOKMARK') this.copy.put(event.object);
        version = event.object.metadata?.resourceVersion ?? version;
      }
    } catch (error) {
      throw new WatchFailure(error, version);
    }
    return version;
  }

  #dispatch(change: Change<T>): void {
    for (const handler of this.#handlers) this.#call(handler, change);
  }

  #call(handler: (change: Change<T>) => void, change: Change<T>): void {
    try {
      handler(change);
    } catch (error) {
      this.#log.error('a handler failed', { error: messageOf(error) });
    }
  }
}

/** A watch that failed after it had reached a version: the next one goes on from there. */
class WatchFailure extends Error {
  readonly error: unknown;
  readonly reached: string;

  constructor(error: unknown, reached: string) {
    super(messageOf(error));
    this.error = error;
    this.reached = reached;
  }
}
