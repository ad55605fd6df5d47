import type {
  V1ControllerRevision,
  V1PersistentVolumeClaim,
  V1Pod,
  V1PodTemplateSpec,
  V1StatefulSet,
  V1StatefulSetStatus,
} from '@wherry/api';
import { codeOf } from '@wherry/base';
import {
  type ApiClient,
  draftOf,
  type EventRecorder,
  equalJson,
  keyOf,
  type ReconcileResult,
  resources,
  sharedIndexes,
} from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { claim } from '../pods/claim.ts';
import { createdPod, deletedPod, Expectations } from '../pods/expectations.ts';
import { watchPods } from '../pods/pod-control.ts';
import { untilAvailable } from '../pods/pod-facts.ts';
import { podFromTemplate } from '../pods/pod-from-template.ts';
import { ownerKey } from '../replica-set/replica-set.ts';
import { ensureRevision, hashOf, revisionHashLabel, templateOf, trimRevisions } from '../revisions.ts';
import { countPods, ordinalOf, planPods } from './plan.ts';

const kind = { apiVersion: 'apps/v1', kind: 'StatefulSet' };

/** Keeps StatefulSets: pods with stable names and claims, made and ended in order. */
export function statefulSetController(context: ControllerContext): Controller {
  const { client, informers, clock, random } = context;
  return defineController(context, {
    name: 'statefulset-controller',
    kind,
    start({ queue, events }) {
      const sets = informers.informer<V1StatefulSet>(resources.statefulSets);
      const pods = informers.informer<V1Pod>(resources.pods, {
        indexes: { controller: sharedIndexes.controller, orphan: sharedIndexes.orphan },
      });
      const revisions = informers.informer<V1ControllerRevision>(resources.controllerRevisions, {
        indexes: { controller: sharedIndexes.controller },
      });
      const expectations = new Expectations(clock);

      const create = async (set: V1StatefulSet, ordinal: number, revision: V1ControllerRevision): Promise<void> => {
        const pod = podOf(set, ordinal, templateOf(revision), hashOf(revision));
        await ensureClaims(client, events, set, pod);
        const expected = createdPod(keyOf(pod));
        expectations.expect(keyOf(set), expected);
        const what = `create Pod ${pod.metadata?.name} in StatefulSet ${set.metadata?.name}`;
        try {
          await client.create<V1Pod>(resources.pods, pod);
          events.event(set, 'Normal', 'SuccessfulCreate', `${what} successful`);
        } catch (error) {
          expectations.settle(keyOf(set), expected);
          if (codeOf(error) === 'alreadyExists') return;
          events.event(set, 'Warning', 'FailedCreate', `${what} failed error: ${(error as Error).message}`);
          throw error;
        }
      };
      const podOf = (set: V1StatefulSet, ordinal: number, template: V1PodTemplateSpec, hash: string): V1Pod => {
        const name = `${set.metadata?.name}-${ordinal}`;
        const pod = podFromTemplate(template, set, kind, { random, name });
        pod.metadata!.generateName = `${set.metadata?.name}-`;
        pod.metadata!.labels = {
          ...pod.metadata?.labels,
          [revisionHashLabel]: hash,
          'statefulset.kubernetes.io/pod-name': name,
          'apps.kubernetes.io/pod-index': String(ordinal),
        };
        const spec = pod.spec!;
        spec.hostname = name;
        if (set.spec?.serviceName) spec.subdomain = set.spec.serviceName;
        const templates = set.spec?.volumeClaimTemplates ?? [];
        const claimed = templates.map(({ metadata }) => ({
          name: metadata?.name ?? '',
          persistentVolumeClaim: { claimName: `${metadata?.name}-${name}` },
        }));
        const others = (spec.volumes ?? []).filter((volume) => !claimed.some((one) => one.name === volume.name));
        if (claimed.length > 0) spec.volumes = [...others, ...claimed];
        return pod;
      };
      const remove = async (set: V1StatefulSet, pod: V1Pod): Promise<void> => {
        const { namespace, name, uid } = pod.metadata ?? {};
        const expected = deletedPod(keyOf(pod), uid);
        expectations.expect(keyOf(set), expected);
        try {
          await client.delete(resources.pods, { namespace, name: name! }, uid ? { preconditions: { uid } } : {});
          const message = `delete Pod ${name} in StatefulSet ${set.metadata?.name} successful`;
          events.event(set, 'Normal', 'SuccessfulDelete', message);
        } catch (error) {
          expectations.settle(keyOf(set), expected);
          if (codeOf(error) !== 'notFound') throw error;
        }
      };

      const reconcile = async (key: string): Promise<ReconcileResult> => {
        const set = sets.get(key);
        if (set === undefined) {
          expectations.forget(key);
          return undefined;
        }
        const uid = set.metadata?.uid ?? '';
        const own = await claim(
          {
            client,
            owner: set,
            kind,
            ownerResource: resources.statefulSets,
            selector: set.spec?.selector,
            resource: resources.pods,
          },
          [
            ...pods.byIndex('controller', uid),
            ...pods.byIndex('orphan', set.metadata?.namespace ?? '').filter((pod) => ordinalOf(set, pod) !== undefined),
          ],
        );
        if (set.metadata?.deletionTimestamp) return undefined;
        const known = revisions.byIndex('controller', uid);
        const update = await ensureRevision(client, set, kind, set.spec!.template, known, set.status?.collisionCount);
        const current = known.find(({ metadata }) => metadata?.name === set.status?.currentRevision) ?? update;
        const hashes = { current: hashOf(current), update: hashOf(update) };
        if (expectations.satisfied(key)) {
          const steps = planPods(set, own, hashes, clock.now());
          for (const { ordinal, updated } of steps.create) await create(set, ordinal, updated ? update : current);
          for (const pod of steps.remove) await remove(set, pod);
        }
        const status = statusOf(set, own, current, update, clock.now());
        if (!equalJson(set.status, status))
          await client.update<V1StatefulSet>(resources.statefulSets, { ...set, status }, { subresource: 'status' });
        const used = new Set([
          hashes.current,
          hashes.update,
          ...own.map((pod) => pod.metadata?.labels?.[revisionHashLabel] ?? ''),
        ]);
        await trimRevisions(client, known, used, set.spec?.revisionHistoryLimit ?? 10);
        const after = untilAvailable(own, set.spec?.minReadySeconds ?? 0, clock.now());
        return after === undefined ? undefined : { after };
      };

      return {
        synced: [sets.synced, pods.synced, revisions.synced],
        reconcile,
        subscriptions: [
          sets.onChange((change) => queue.add(keyOf(change.object))),
          watchPods(pods, {
            ownerOf: (pod) => ownerKey(pod, 'StatefulSet'),
            expectations,
            add: (key) => queue.add(key),
          }),
        ],
      };
    },
  });
}

/** Makes the claims of a pod that are not there; they outlive it, so that a successor finds its data. */
async function ensureClaims(client: ApiClient, events: EventRecorder, set: V1StatefulSet, pod: V1Pod): Promise<void> {
  for (const template of set.spec?.volumeClaimTemplates ?? []) {
    const { namespace } = set.metadata ?? {};
    const name = `${template.metadata?.name}-${pod.metadata?.name}`;
    const wanted: V1PersistentVolumeClaim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        ...draftOf(template.metadata),
        name,
        ...(namespace ? { namespace } : {}),
        labels: { ...template.metadata?.labels, ...set.spec?.selector.matchLabels },
      },
      ...(template.spec ? { spec: draftOf(template.spec) } : {}),
    };
    try {
      await client.create<V1PersistentVolumeClaim>(resources.persistentVolumeClaims, wanted);
      const message = `create Claim ${name} Pod ${pod.metadata?.name} in StatefulSet ${set.metadata?.name} success`;
      events.event(set, 'Normal', 'SuccessfulCreate', message);
    } catch (error) {
      if (codeOf(error) !== 'alreadyExists') throw error;
    }
  }
}

function statusOf(
  set: V1StatefulSet,
  pods: readonly V1Pod[],
  current: V1ControllerRevision,
  update: V1ControllerRevision,
  now: number,
): V1StatefulSetStatus {
  const counts = countPods(set, pods, { current: hashOf(current), update: hashOf(update) }, now);
  const wanted = set.spec?.replicas ?? 1;
  const { partition = 0 } = set.spec?.updateStrategy?.rollingUpdate ?? {};
  const done = partition === 0 && counts.updated === wanted && counts.ready === wanted && counts.replicas === wanted;
  const updateName = update.metadata?.name ?? '';
  return {
    observedGeneration: set.metadata?.generation,
    replicas: counts.replicas,
    availableReplicas: counts.available,
    ...(counts.ready ? { readyReplicas: counts.ready } : {}),
    ...((done ? counts.updated : counts.current) ? { currentReplicas: done ? counts.updated : counts.current } : {}),
    ...(counts.updated ? { updatedReplicas: counts.updated } : {}),
    currentRevision: done ? updateName : (current.metadata?.name ?? ''),
    updateRevision: updateName,
    collisionCount: set.status?.collisionCount ?? 0,
    ...(set.status?.conditions ? { conditions: set.status.conditions } : {}),
  };
}
