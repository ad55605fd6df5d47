import type { V1Pod, V1ReplicaSet } from '@wherry/api';
import { messageOf } from '@wherry/base';
import {
  controllerOf,
  keyOf,
  matchesSelector,
  type OwnerKind,
  type ReconcileResult,
  type ResourceId,
  resources,
  sharedIndexes,
} from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { claim } from '../pods/claim.ts';
import { Expectations } from '../pods/expectations.ts';
import { createPodControl, namespaceEnds, watchPods } from '../pods/pod-control.ts';
import { slowStart } from '../pods/slow-start.ts';
import { planReplicas, planStatus } from './plan.ts';

/** A kind that keeps a number of equal pods; ReplicationControllers differ only in their selector's shape. */
interface ReplicaKind {
  readonly name: string;
  readonly kind: OwnerKind;
  readonly resource: ResourceId;
  /** The object seen as a ReplicaSet. */
  view(object: V1ReplicaSet): V1ReplicaSet;
}

/** Keeps ReplicaSets' pods. */
export function replicaSetController(context: ControllerContext): Controller {
  return replicaController(context, {
    name: 'replicaset-controller',
    kind: { apiVersion: 'apps/v1', kind: 'ReplicaSet' },
    resource: resources.replicaSets,
    view: (object) => object,
  });
}

/** Keeps ReplicationControllers' pods: the same loop on a selector that is a plain map. */
export function replicationController(context: ControllerContext): Controller {
  return replicaController(context, {
    name: 'replication-controller',
    kind: { apiVersion: 'v1', kind: 'ReplicationController' },
    resource: resources.replicationControllers,
    view(object) {
      const matchLabels = object.spec?.selector as Record<string, string> | undefined;
      return { ...object, spec: { ...object.spec, selector: { matchLabels: matchLabels ?? {} } } };
    },
  });
}

function replicaController(context: ControllerContext, of: ReplicaKind): Controller {
  const { client, informers, clock, random } = context;
  return defineController(context, {
    name: of.name,
    kind: of.kind,
    start({ queue, events }) {
      const sets = informers.informer<V1ReplicaSet>(of.resource, { indexes: { namespace: sharedIndexes.namespace } });
      const pods = informers.informer<V1Pod>(resources.pods, {
        indexes: { orphan: sharedIndexes.orphan, controller: sharedIndexes.controller },
      });
      const expectations = new Expectations(clock);
      const control = createPodControl({ client, random, events, kind: of.kind, expectations });

      const reconcile = async (key: string): Promise<ReconcileResult> => {
        const found = sets.get(key);
        if (found === undefined) {
          expectations.forget(key);
          return undefined;
        }
        const set = of.view(found);
        const settled = expectations.satisfied(key);
        const namespace = set.metadata?.namespace ?? '';
        const own = await claim(
          {
            client,
            owner: found,
            kind: of.kind,
            ownerResource: of.resource,
            selector: set.spec?.selector,
            resource: resources.pods,
          },
          [...pods.byIndex('controller', set.metadata?.uid ?? ''), ...pods.byIndex('orphan', namespace)],
        );
        let failure: { reason: 'FailedCreate' | 'FailedDelete'; message: string } | undefined;
        let thrown: unknown;
        if (settled && !set.metadata?.deletionTimestamp) {
          const { create, remove } = planReplicas(set, own, clock.now());
          const made = await slowStart(create, async () => void (await control.create(found, set.spec?.template)));
          if (made.error !== undefined && !namespaceEnds(made.error)) {
            thrown = made.error;
            failure = { reason: 'FailedCreate', message: messageOf(made.error) };
          }
          const removed = await Promise.allSettled(remove.map((pod) => control.delete(found, pod)));
          const lost = removed.find((result) => result.status === 'rejected');
          if (lost) {
            thrown = lost.reason;
            failure = { reason: 'FailedDelete', message: messageOf(lost.reason) };
          }
        }
        const { status, changed, after } = planStatus(set, own, clock.now(), failure);
        if (changed) await client.update<V1ReplicaSet>(of.resource, { ...found, status }, { subresource: 'status' });
        if (thrown !== undefined) throw thrown;
        return after === undefined ? undefined : { after };
      };

      return {
        synced: [sets.synced, pods.synced],
        reconcile,
        subscriptions: [
          sets.onChange((change) => queue.add(keyOf(change.object))),
          watchPods(pods, {
            ownerOf: (pod) => ownerKey(pod, of.kind.kind),
            candidates: (pod) =>
              sets
                .byIndex('namespace', pod.metadata?.namespace ?? '')
                .filter((set) => matchesSelector(pod.metadata?.labels ?? {}, of.view(set).spec?.selector))
                .map(keyOf),
            expectations,
            add: (key) => queue.add(key),
          }),
        ],
      };
    },
  });
}

/** The key of a pod's controller of a kind. */
export function ownerKey(object: { readonly metadata?: V1Pod['metadata'] }, kind: string): string | undefined {
  const owner = controllerOf(object);
  return owner?.kind === kind ? `${object.metadata?.namespace}/${owner.name}` : undefined;
}
