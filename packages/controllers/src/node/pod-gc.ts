import type { V1Node, V1Pod } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { keyOf, type ReconcileResult, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';

/** How long a node may be away before its pods are given up (upstream's quarantine), ms. */
const quarantine = 40_000;

/** Removes pods that no kubelet will ever finish: of nodes that are gone, and deleted before they had a node. */
export function podGarbageCollector(context: ControllerContext): Controller {
  const { client, informers } = context;
  return defineController(context, {
    name: 'pod-garbage-collector',
    kind: { apiVersion: 'v1', kind: 'Pod' },
    start({ queue }) {
      const nodes = informers.informer<V1Node>(resources.nodes);
      const pods = informers.informer<V1Pod>(resources.pods, {
        indexes: { node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []) },
      });
      const suspect = (pod: V1Pod): boolean =>
        pod.spec?.nodeName ? nodes.get(pod.spec.nodeName) === undefined : pod.metadata?.deletionTimestamp !== undefined;
      const look = (pod: V1Pod): void => {
        if (!suspect(pod)) return;
        if (pod.spec?.nodeName) queue.addAfter(keyOf(pod), quarantine);
        else queue.add(keyOf(pod));
      };
      return {
        synced: [nodes.synced, pods.synced],
        subscriptions: [
          pods.onChange(({ type, object }) => {
            if (type !== 'deleted') look(object);
          }),
          nodes.onChange(({ type, object }) => {
            if (type === 'deleted') for (const pod of pods.byIndex('node', keyOf(object))) look(pod);
          }),
        ],
        async reconcile(key): Promise<ReconcileResult> {
          const pod = pods.get(key);
          if (pod === undefined || !suspect(pod)) return undefined;
          if (pod.spec?.nodeName && (await nodeExists(pod.spec.nodeName))) return undefined;
          const { namespace, name, uid } = pod.metadata ?? {};
          try {
            await client.delete(
              resources.pods,
              { namespace, name: name! },
              { gracePeriodSeconds: 0, ...(uid ? { preconditions: { uid } } : {}) },
            );
          } catch (error) {
            if (codeOf(error) !== 'notFound') throw error;
          }
          return undefined;
        },
      };

      async function nodeExists(name: string): Promise<boolean> {
        try {
          await client.get<V1Node>(resources.nodes, { name });
          return true;
        } catch (error) {
          if (codeOf(error) === 'notFound') return false;
          throw error;
        }
      }
    },
  });
}
