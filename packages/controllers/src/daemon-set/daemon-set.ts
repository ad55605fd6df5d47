import type {
  V1ControllerRevision,
  V1DaemonSet,
  V1DaemonSetStatus,
  V1Node,
  V1Pod,
  V1PodTemplateSpec,
} from '@wherry/api';
import { draftOf, equalJson, keyOf, type ReconcileResult, resources, sharedIndexes } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { claim } from '../pods/claim.ts';
import { Expectations } from '../pods/expectations.ts';
import { createPodControl, watchPods } from '../pods/pod-control.ts';
import { isAvailable, isReady, untilAvailable } from '../pods/pod-facts.ts';
import { slowStart } from '../pods/slow-start.ts';
import { ownerKey } from '../replica-set/replica-set.ts';
import { ensureRevision, hashOf, revisionHashLabel, trimRevisions } from '../revisions.ts';
import { affinityTo, daemonTolerations, fits, nodeOfPod, planDaemons } from './plan.ts';

const kind = { apiVersion: 'apps/v1', kind: 'DaemonSet' };

/** Keeps one pod of each DaemonSet on every node that fits. */
export function daemonSetController(context: ControllerContext): Controller {
  const { client, informers, clock, random } = context;
  return defineController(context, {
    name: 'daemonset-controller',
    kind,
    start({ queue, events }) {
      const sets = informers.informer<V1DaemonSet>(resources.daemonSets);
      const nodes = informers.informer<V1Node>(resources.nodes);
      const pods = informers.informer<V1Pod>(resources.pods, {
        indexes: { controller: sharedIndexes.controller, orphan: sharedIndexes.orphan },
      });
      const revisions = informers.informer<V1ControllerRevision>(resources.controllerRevisions, {
        indexes: { controller: sharedIndexes.controller },
      });
      const expectations = new Expectations(clock);
      const control = createPodControl({ client, random, events, kind, expectations });

      const reconcile = async (key: string): Promise<ReconcileResult> => {
        const set = sets.get(key);
        if (set === undefined) {
          expectations.forget(key);
          return undefined;
        }
        if (set.metadata?.deletionTimestamp) return undefined;
        const uid = set.metadata?.uid ?? '';
        const known = revisions.byIndex('controller', uid);
        const revision = await ensureRevision(client, set, kind, set.spec!.template, known, set.status?.collisionCount);
        const hash = hashOf(revision);
        const own = await claim(
          {
            client,
            owner: set,
            kind,
            ownerResource: resources.daemonSets,
            selector: set.spec?.selector,
            resource: resources.pods,
          },
          [...pods.byIndex('controller', uid), ...pods.byIndex('orphan', set.metadata?.namespace ?? '')],
        );
        if (expectations.satisfied(key)) {
          const { create, remove, failed } = planDaemons(set, nodes.list(), own, hash, clock.now());
          for (const pod of failed)
            events.event(
              set,
              'Warning',
              'FailedDaemonPod',
              `Found failed daemon pod ${keyOf(pod)} on node ${nodeOfPod(pod)}, will try to kill it`,
            );
          await Promise.all([...remove, ...failed].map((pod) => control.delete(set, pod)));
          const template = templateWith(set, hash);
          const made = await slowStart(create.length, async (at) => {
            await control.create(set, template, { draft: (pod) => sendTo(pod, create[at]!) });
          });
          if (made.error !== undefined) throw made.error;
        }
        const status = statusOf(set, nodes.list(), own, hash, clock.now());
        if (!equalJson(set.status, status))
          await client.update<V1DaemonSet>(resources.daemonSets, { ...set, status }, { subresource: 'status' });
        const used = new Set([hash, ...own.map((pod) => pod.metadata?.labels?.[revisionHashLabel] ?? '')]);
        await trimRevisions(client, known, used, set.spec?.revisionHistoryLimit ?? 10);
        const after = untilAvailable(own, set.spec?.minReadySeconds ?? 0, clock.now());
        return after === undefined ? undefined : { after };
      };

      return {
        synced: [sets.synced, nodes.synced, pods.synced, revisions.synced],
        reconcile,
        subscriptions: [
          sets.onChange((change) => queue.add(keyOf(change.object))),
          watchPods(pods, { ownerOf: (pod) => ownerKey(pod, 'DaemonSet'), expectations, add: (key) => queue.add(key) }),
          nodes.onChange((change) => {
            // Heartbeats and images change nothing for daemons.
            if (change.type === 'updated' && sameForDaemons(change.previous, change.object)) return;
            for (const set of sets.list()) queue.add(keyOf(set));
          }),
        ],
      };
    },
  });
}

function sameForDaemons(before: V1Node, after: V1Node): boolean {
  return equalJson(before.metadata?.labels, after.metadata?.labels) && equalJson(before.spec, after.spec);
}

/** Kept for kubectl and old clients: the generation that a pod was made of. */
const generationLabel = 'pod-template-generation';

function templateWith(set: V1DaemonSet, hash: string): V1PodTemplateSpec {
  const template = draftOf(set.spec!.template);
  const generation = set.metadata?.annotations?.['deprecated.daemonset.template.generation'];
  template.metadata = {
    ...template.metadata,
    labels: {
      ...template.metadata?.labels,
      [revisionHashLabel]: hash,
      ...(generation === undefined ? {} : { [generationLabel]: generation }),
    },
  };
  return template;
}

function sendTo(pod: V1Pod, node: string): void {
  const spec = pod.spec!;
  spec.affinity = { ...spec.affinity, nodeAffinity: affinityTo(node, spec.affinity?.nodeAffinity) };
  spec.tolerations = daemonTolerations(spec);
}

function statusOf(
  set: V1DaemonSet,
  nodes: readonly V1Node[],
  pods: readonly V1Pod[],
  hash: string,
  now: number,
): V1DaemonSetStatus {
  const counts = { desired: 0, current: 0, wrong: 0, ready: 0, available: 0, updated: 0 };
  for (const node of nodes) {
    const here = pods.filter((pod) => nodeOfPod(pod) === node.metadata?.name && !pod.metadata?.deletionTimestamp);
    const { run } = fits(set, node);
    const [pod] = here;
    if (!run) {
      if (pod) counts.wrong++;
      continue;
    }
    counts.desired++;
    if (pod === undefined) continue;
    counts.current++;
    if (isReady(pod)) counts.ready++;
    if (isAvailable(pod, set.spec?.minReadySeconds ?? 0, now)) counts.available++;
    if (pod.metadata?.labels?.[revisionHashLabel] === hash) counts.updated++;
  }
  return {
    ...(set.status?.collisionCount ? { collisionCount: set.status.collisionCount } : {}),
    ...(set.status?.conditions ? { conditions: set.status.conditions } : {}),
    currentNumberScheduled: counts.current,
    desiredNumberScheduled: counts.desired,
    numberMisscheduled: counts.wrong,
    numberReady: counts.ready,
    ...(counts.available ? { numberAvailable: counts.available } : {}),
    ...(counts.desired - counts.available ? { numberUnavailable: counts.desired - counts.available } : {}),
    ...(set.metadata?.generation ? { observedGeneration: set.metadata.generation } : {}),
    ...(counts.updated ? { updatedNumberScheduled: counts.updated } : {}),
  };
}
