import type { V1Node, V1Pod } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { equalJson, keyOf, type ReconcileResult, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { evictionTime } from './plan.ts';

/** Deletes pods from nodes whose NoExecute taints they do not, or no longer, tolerate. */
export function taintEvictionController(context: ControllerContext): Controller {
  const { client, informers, clock } = context;
  return defineController(context, {
    name: 'taint-eviction-controller',
    kind: { apiVersion: 'v1', kind: 'Pod' },
    start({ queue, events }) {
      const nodes = informers.informer<V1Node>(resources.nodes);
      const pods = informers.informer<V1Pod>(resources.pods, {
        indexes: { node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []) },
      });
      /** When each pod that is to go was first seen beneath its taints. */
      const since = new Map<string, number>();
      return {
        synced: [nodes.synced, pods.synced],
        subscriptions: [
          nodes.onChange((change) => {
            if (change.type === 'deleted') return;
            const before = change.type === 'updated' ? change.previous.spec?.taints : undefined;
            if (equalJson(before ?? [], change.object.spec?.taints ?? [])) return;
            for (const pod of pods.byIndex('node', keyOf(change.object))) queue.add(keyOf(pod));
          }),
          pods.onChange((change) => {
            const { object } = change;
            if (change.type === 'deleted') since.delete(keyOf(object));
            if (change.type === 'deleted' || !object.spec?.nodeName) return;
            const placed = change.type === 'added' || change.previous.spec?.nodeName !== object.spec.nodeName;
            const tolerations =
              change.type === 'updated' && !equalJson(change.previous.spec?.tolerations, object.spec.tolerations);
            if (placed || tolerations) queue.add(keyOf(object));
          }),
        ],
        async reconcile(key): Promise<ReconcileResult> {
          const pod = pods.get(key);
          if (!pod?.spec?.nodeName || pod.metadata?.deletionTimestamp) {
            since.delete(key);
            return undefined;
          }
          const first = since.get(key) ?? clock.now();
          const at = evictionTime(pod, nodes.get(pod.spec.nodeName)?.spec?.taints ?? [], first);
          if (at === undefined) {
            if (since.delete(key))
              events.event(pod, 'Normal', 'TaintManagerEviction', `Cancelling deletion of Pod ${key}`);
            return undefined;
          }
          if (at > clock.now()) {
            since.set(key, first);
            return { after: at - clock.now() };
          }
          since.delete(key);
          const { namespace, name, uid } = pod.metadata ?? {};
          events.event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${key}`);
          try {
            await client.delete(resources.pods, { namespace, name: name! }, uid ? { preconditions: { uid } } : {});
          } catch (error) {
            if (codeOf(error) !== 'notFound') throw error;
          }
          return undefined;
        },
      };
    },
  });
}
