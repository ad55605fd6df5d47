import type { V1OwnerReference } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { createWorkQueue, type KubeObject, type ObjectName, runController, splitKey } from '@wherry/client';
import type { Controller, ControllerContext } from '../context.ts';
import type { KindResource, KindSource } from '../kinds.ts';
import { type GraphNode, OwnerGraph } from './graph.ts';
import { judge, type OwnerState } from './plan.ts';

/** Kinds that own nothing and are owned by nothing: following them would only cost. */
const ignored = new Set(['events']);

/** Deletes objects whose owners are gone, and carries out foreground and orphaning deletions. */
export function garbageCollector(context: ControllerContext, kinds: KindSource): Controller {
  return {
    name: 'garbage-collector-controller',
    run: (signal) => new Collector(context, kinds).run(signal),
  };
}

class Collector {
  readonly #context: ControllerContext;
  readonly #source: KindSource;
  readonly #graph = new OwnerGraph();
  readonly #queue;
  #kinds: readonly KindResource[] = [];

  constructor(context: ControllerContext, source: KindSource) {
    this.#context = context;
    this.#source = source;
    this.#queue = createWorkQueue({ clock: context.clock });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informers, log } = this.#context;
    const subscriptions: Disposable[] = [];
    try {
      this.#kinds = (await this.#source()).filter(({ resource }) => !ignored.has(resource));
      const synced: Promise<void>[] = [];
      for (const kind of this.#kinds) {
        const informer = informers.informer<KubeObject>(kind);
        synced.push(informer.synced);
        subscriptions.push(
          informer.onChange((change) => {
            if (change.type === 'deleted') this.#gone(change.object);
            else this.#seen(kind, change.object);
          }),
        );
      }
      await Promise.all(synced);
      const reconcile = (uid: string): Promise<void> => this.#reconcile(uid);
      await runController({ name: 'garbage-collector', queue: this.#queue, reconcile, workers: 8, log, signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
      this.#queue.close();
    }
  }

  #seen(kind: KindResource, object: KubeObject): void {
    const before = this.#graph.get(object.metadata?.uid ?? '');
    const node = this.#graph.put(kind, object);
    if (node.orphaning) this.#queue.add(node.uid);
    if (node.foreground) {
      this.#queue.add(node.uid);
      if (!before?.foreground) for (const one of this.#graph.dependentsOf(node.uid)) this.#queue.add(one.uid);
    }
    // Only an owner that is not to be seen, or on its way out, is a reason to look closer.
    const doubtful = node.owners.some(({ uid }) => {
      const owner = this.#graph.get(uid);
      return owner === undefined || owner.foreground;
    });
    if (doubtful) this.#queue.add(node.uid);
    for (const { uid } of before?.owners ?? []) if (this.#graph.get(uid)?.foreground) this.#queue.add(uid);
  }

  #gone(object: KubeObject): void {
    const uid = object.metadata?.uid ?? '';
    const node = this.#graph.get(uid);
    this.#graph.remove(uid);
    for (const dependent of this.#graph.dependentsOf(uid)) this.#queue.add(dependent.uid);
    for (const owner of node?.owners ?? []) if (this.#graph.get(owner.uid)?.foreground) this.#queue.add(owner.uid);
  }

  async #reconcile(uid: string): Promise<void> {
    const node = this.#graph.get(uid);
    if (node === undefined) return;
    if (node.orphaning) return this.#orphanDependents(node);
    if (node.foreground) return this.#foreground(node);
    if (node.deleting || node.owners.length === 0) return;
    await this.#judge(node);
  }

  async #judge(node: GraphNode): Promise<void> {
    const { client } = this.#context;
    const object = await this.#fresh(node);
    if (object === undefined || object.metadata?.deletionTimestamp) return;
    const references = object.metadata?.ownerReferences ?? [];
    const owners = await Promise.all(
      references.map(async (reference) => ({ reference, state: await this.#stateOf(node, reference) })),
    );
    const hasDependents = this.#graph.dependentsOf(node.uid).length > 0;
    const verdict = judge(owners, { hasDependents, finalizers: object.metadata?.finalizers ?? [] });
    if (verdict.action === 'keep') return;
    const { resourceVersion } = object.metadata ?? {};
    if (verdict.action === 'unlink') {
      const ownerReferences = references.filter(({ uid }) => !verdict.uids.includes(uid));
      await client.patch(node.kind, nameOf(node), 'merge', {
        metadata: { uid: node.uid, resourceVersion, ownerReferences },
      });
      return;
    }
    const preconditions = { uid: node.uid, ...(resourceVersion ? { resourceVersion } : {}) };
    await ignoreMissing(client.delete(node.kind, nameOf(node), { propagationPolicy: verdict.policy, preconditions }));
  }

  /** An owner in the graph is believed; one that is not is asked for, because the graph may lag behind. */
  async #stateOf(dependent: GraphNode, reference: V1OwnerReference): Promise<OwnerState> {
    const known = this.#graph.get(reference.uid);
    // Kinds and namespaces must fit: a cluster-scoped object cannot be owned by a namespaced one.
    if (known) return known.foreground && reference.blockOwnerDeletion ? 'waiting' : 'solid';
    const kind = this.#kindOf(reference);
    if (kind === undefined) return 'solid'; // not ours to judge: its API may be away for a while
    const { namespace } = splitKey(dependent.key);
    if (kind.namespaced && namespace === undefined) return 'absent';
    try {
      const owner = await this.#context.client.get(kind, {
        name: reference.name,
        ...(kind.namespaced ? { namespace } : {}),
      });
      return owner.metadata?.uid === reference.uid ? 'solid' : 'absent';
    } catch (error) {
      if (codeOf(error) === 'notFound') return 'absent';
      throw error;
    }
  }

  #kindOf({ apiVersion, kind }: V1OwnerReference): KindResource | undefined {
    const slash = apiVersion.indexOf('/');
    const group = slash < 0 ? '' : apiVersion.slice(0, slash);
    return this.#kinds.find((one) => one.kind === kind && one.group === group);
  }

  async #foreground(node: GraphNode): Promise<void> {
    const blocking = this.#graph
      .dependentsOf(node.uid)
      .filter(({ owners }) => owners.some(({ uid, blockOwnerDeletion }) => uid === node.uid && blockOwnerDeletion));
    if (blocking.length === 0) return this.#dropFinalizer(node, 'foregroundDeletion');
    for (const dependent of blocking) if (!dependent.deleting) this.#queue.add(dependent.uid);
  }

  async #orphanDependents(node: GraphNode): Promise<void> {
    await Promise.all(
      this.#graph.dependentsOf(node.uid).map(async (dependent) => {
        const object = await this.#fresh(dependent);
        const references = object?.metadata?.ownerReferences ?? [];
        const ownerReferences = references.filter(({ uid }) => uid !== node.uid);
        if (ownerReferences.length === references.length) return;
        const metadata = { uid: dependent.uid, resourceVersion: object?.metadata?.resourceVersion, ownerReferences };
        await ignoreMissing(this.#context.client.patch(dependent.kind, nameOf(dependent), 'merge', { metadata }));
      }),
    );
    await this.#dropFinalizer(node, 'orphan');
  }

  async #dropFinalizer(node: GraphNode, finalizer: string): Promise<void> {
    const object = await this.#fresh(node);
    const finalizers = object?.metadata?.finalizers ?? [];
    if (!finalizers.includes(finalizer)) return;
    const metadata = {
      uid: node.uid,
      resourceVersion: object?.metadata?.resourceVersion,
      finalizers: finalizers.filter((one) => one !== finalizer),
    };
    await ignoreMissing(this.#context.client.patch(node.kind, nameOf(node), 'merge', { metadata }));
  }

  async #fresh(node: GraphNode): Promise<KubeObject | undefined> {
    try {
      const object = await this.#context.client.get(node.kind, nameOf(node));
      return object.metadata?.uid === node.uid ? object : undefined;
    } catch (error) {
      if (codeOf(error) === 'notFound') return undefined;
      throw error;
    }
  }
}

function nameOf(node: GraphNode): ObjectName {
  const { namespace, name } = splitKey(node.key);
  return namespace === undefined ? { name } : { namespace, name };
}

async function ignoreMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (codeOf(error) !== 'notFound') throw error;
  }
}
