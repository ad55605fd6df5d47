import type { V1Lease, V1Node, V1Pod } from '@wherry/api';
import { timeText } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { equalJson, keyOf, type ReconcileResult, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { isReady } from '../pods/pod-facts.ts';
import { planTaints, silentConditions } from './plan.ts';

/** Silence after which a node counts as lost (upstream's node-monitor-grace-period), ms. */
const grace = 50_000;

/**
 * Watches the nodes' Leases: a kubelet that is silent makes its node `Unknown`, its pods not ready,
 * and taints follow the conditions. Silence is measured from when a renewal was seen here, so that
 * clocks of nodes do not matter; one timer a node.
 */
export function nodeLifecycleController(context: ControllerContext): Controller {
  const { client, informers, clock } = context;
  return defineController(context, {
    name: 'node-controller',
    kind: { apiVersion: 'v1', kind: 'Node' },
    start({ queue, events }) {
      const nodes = informers.informer<V1Node>(resources.nodes);
      const leases = informers.informer<V1Lease>(resources.leases, { namespace: 'kube-node-lease' });
      const pods = informers.informer<V1Pod>(resources.pods, {
        indexes: { node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []) },
      });
      const heard = new Map<string, number>();

      const reconcile = async (name: string): Promise<ReconcileResult> => {
        const node = nodes.get(name);
        if (node === undefined) {
          heard.delete(name);
          return undefined;
        }
        const last = heard.get(name) ?? clock.now();
        heard.set(name, last);
        const left = last + grace - clock.now();
        if (left <= 0 && (await declareSilent(node))) return undefined; // the change comes back and sets the taints
        await setTaints(node);
        if (left <= 0) await markPods(name);
        return left > 0 ? { after: left } : undefined;
      };

      const declareSilent = async (node: V1Node): Promise<boolean> => {
        const conditions = silentConditions(node, clock.now());
        if (conditions === undefined) return false;
        const status = { ...node.status, conditions };
        await client.update<V1Node>(resources.nodes, { ...node, status }, { subresource: 'status' });
        const name = node.metadata?.name ?? '';
        events.event(node, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
        return true;
      };

      const setTaints = async (node: V1Node): Promise<void> => {
        const taints = planTaints(node, clock.now());
        if (taints === undefined) return;
        await client.update<V1Node>(resources.nodes, { ...node, spec: { ...node.spec, taints } });
      };

      /** Takes the pods of a lost node out of service. */
      const markPods = async (name: string): Promise<void> => {
        const time = timeText(clock.now());
        for (const pod of pods.byIndex('node', name)) {
          if (!isReady(pod)) continue;
          const conditions = (pod.status?.conditions ?? []).map((condition) =>
            condition.type === 'Ready' ? { ...condition, status: 'False', lastTransitionTime: time } : condition,
          );
          try {
            const status = { ...pod.status, conditions };
            await client.update<V1Pod>(resources.pods, { ...pod, status }, { subresource: 'status' });
            events.event({ ...pod, apiVersion: 'v1', kind: 'Pod' }, 'Warning', 'NodeNotReady', 'Node is not ready');
          } catch (error) {
            if (codeOf(error) !== 'notFound') throw error;
          }
        }
      };

      return {
        synced: [nodes.synced, leases.synced, pods.synced],
        reconcile,
        subscriptions: [
          nodes.onChange((change) => {
            const { object } = change;
            const name = keyOf(object);
            if (change.type === 'updated') {
              // A kubelet that posts its status lives, whether its lease shows it or not.
              if (heartbeats(object) !== heartbeats(change.previous)) heard.set(name, clock.now());
              const same =
                equalJson(change.previous.spec, object.spec) &&
                equalJson(change.previous.status?.conditions, object.status?.conditions);
              if (same) return;
            }
            queue.add(name);
          }),
          leases.onChange((change) => {
            if (change.type === 'deleted') return;
            const renewed =
              change.type === 'added' || change.previous.spec?.renewTime !== change.object.spec?.renewTime;
            if (renewed) heard.set(change.object.metadata?.name ?? '', clock.now());
          }),
        ],
      };
    },
  });
}

function heartbeats(node: V1Node): string {
  return (node.status?.conditions ?? [])
    .filter(({ status }) => status !== 'Unknown')
    .map(({ lastHeartbeatTime }) => lastHeartbeatTime ?? '')
    .sort()
    .join();
}
