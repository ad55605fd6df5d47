import { timeText, type V1Namespace, type V1Pod } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { backoffDelay, type KubeObject, keyOf, resources } from '@wherry/client';
import { type Condition, withCondition } from '../conditions.ts';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import type { KindResource, KindSource } from '../kinds.ts';

const firstLook = 50;
const lastLook = 15_000;

/** What is left of a namespace's content after a round of deletions. */
export interface Remaining {
  /** Number of objects by `resource.group`. */
  readonly objects: ReadonlyMap<string, number>;
  /** Number of objects by finalizer. */
  readonly finalizers: ReadonlyMap<string, number>;
}

/** The conditions of a namespace that is being deleted, in upstream's words. Pure. */
export function planConditions(
  before: readonly Condition[],
  { objects, finalizers }: Remaining,
  now: number,
): Condition[] {
  const listed = (counts: ReadonlyMap<string, number>, what: (name: string, count: number) => string): string =>
    [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => what(name, count))
      .join(', ');
  const content: Condition =
    objects.size > 0
      ? {
          type: 'NamespaceContentRemaining',
          status: 'True',
          reason: 'SomeResourcesRemain',
          message: `Some resources are remaining: ${listed(objects, (name, count) => `${name} has ${count} resource instances`)}`,
        }
      : {
          type: 'NamespaceContentRemaining',
          status: 'False',
          reason: 'ContentRemoved',
          message: 'All content successfully removed',
        };
  const held: Condition =
    finalizers.size > 0
      ? {
          type: 'NamespaceFinalizersRemaining',
          status: 'True',
          reason: 'SomeFinalizersRemain',
          message: `Some content in the namespace has finalizers remaining: ${listed(finalizers, (name, count) => `${name} in ${count} resource instances`)}`,
        }
      : {
          type: 'NamespaceFinalizersRemaining',
          status: 'False',
          reason: 'ContentHasNoFinalizers',
          message: 'All content-preserving finalizers finished',
        };
  return withCondition(withCondition(before, content, now), held, now);
}

/** Empties namespaces that are being deleted, then lets them go. */
export function namespaceController(context: ControllerContext, kinds: KindSource): Controller {
  const { client, informers, clock } = context;
  return defineController(context, {
    name: 'namespace-controller',
    kind: { apiVersion: 'v1', kind: 'Namespace' },
    start({ queue }) {
      const namespaces = informers.informer<V1Namespace>(resources.namespaces);
      const pods = informers.informer<V1Pod>(resources.pods);
      const rounds = new Map<string, number>();

      const empty = async (namespace: string): Promise<Remaining> => {
        const objects = new Map<string, number>();
        const finalizers = new Map<string, number>();
        const all = (await kinds()).filter((kind) => kind.namespaced);
        await Promise.all(
          all.map(async (kind) => {
            for (const object of await deleteAll(kind, namespace)) {
              const name = kind.group === '' ? `${kind.resource}.` : `${kind.resource}.${kind.group}`;
              objects.set(name, (objects.get(name) ?? 0) + 1);
              for (const finalizer of object.metadata?.finalizers ?? [])
                finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
            }
          }),
        );
        return { objects, finalizers };
      };

      /** Deletes what is there and gives what stays, because it ends gracefully or has finalizers. */
      const deleteAll = async (kind: KindResource, namespace: string): Promise<readonly KubeObject[]> => {
        const { items } = await client.list(kind, { namespace });
        if (items.length === 0) return [];
        await Promise.all(
          items.map(async ({ metadata }) => {
            if (metadata?.deletionTimestamp) return;
            try {
              await client.delete(kind, { namespace, name: metadata!.name! }, { propagationPolicy: 'Background' });
            } catch (error) {
              if (codeOf(error) !== 'notFound') throw error;
            }
          }),
        );
        return (await client.list(kind, { namespace })).items;
      };

      return {
        synced: [namespaces.synced, pods.synced],
        subscriptions: [
          namespaces.onChange(({ type, object }) => {
            if (type === 'deleted') rounds.delete(keyOf(object));
            else if (object.metadata?.deletionTimestamp) queue.add(keyOf(object));
          }),
          pods.onChange(({ type, object }) => {
            const namespace = object.metadata?.namespace ?? '';
            if (type === 'deleted' && namespaces.get(namespace)?.metadata?.deletionTimestamp) queue.add(namespace);
          }),
        ],
        async reconcile(name) {
          const namespace = namespaces.get(name);
          if (!namespace?.metadata?.deletionTimestamp) return undefined;
          const finalizers = namespace.spec?.finalizers ?? [];
          if (!finalizers.includes('kubernetes')) return undefined;
          const remaining = await empty(name);
          if (remaining.objects.size > 0) {
            await writeConditions(namespace, remaining);
            const round = (rounds.get(name) ?? 0) + 1;
            rounds.set(name, round);
            // Pods wake us when they end; other graceful endings are looked for with growing pauses.
            return { after: backoffDelay(round, firstLook, lastLook) };
          }
          const spec = { ...namespace.spec, finalizers: finalizers.filter((one) => one !== 'kubernetes') };
          try {
            const fresh = await client.get<V1Namespace>(resources.namespaces, { name });
            if (fresh.metadata?.uid !== namespace.metadata.uid) return undefined;
            await client.update<V1Namespace>(resources.namespaces, { ...fresh, spec }, { subresource: 'finalize' });
          } catch (error) {
            if (codeOf(error) !== 'notFound') throw error;
          }
          return undefined;
        },
      };

      async function writeConditions(namespace: V1Namespace, remaining: Remaining): Promise<void> {
        const before = (namespace.status?.conditions ?? []) as Condition[];
        const conditions = planConditions(before, remaining, clock.now());
        if (conditions.length === before.length && conditions.every((one, index) => one === before[index])) return;
        const status = { ...namespace.status, phase: 'Terminating', conditions: conditions.map(complete) };
        await client
          .update<V1Namespace>(resources.namespaces, { ...namespace, status }, { subresource: 'status' })
          .catch((error: unknown) => {
            if (codeOf(error) !== 'conflict' && codeOf(error) !== 'notFound') throw error;
          });
      }

      function complete(condition: Condition): Condition & { lastTransitionTime: string } {
        return { ...condition, lastTransitionTime: condition.lastTransitionTime ?? timeText(clock.now()) };
      }
    },
  });
}
