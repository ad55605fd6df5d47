import type { V1Pod, V1ReplicaSet, V1ReplicaSetStatus } from '@wherry/api';
import { equalJson, matchesLabels } from '@wherry/client';
import { conditionOf, withCondition, withoutCondition } from '../conditions.ts';
import { inOrderOfDeletion } from '../pods/deletion-rank.ts';
import { isActive, isAvailable, isReady, untilAvailable } from '../pods/pod-facts.ts';

/** Most pods that one pass creates or deletes (upstream's burst). */
const burst = 500;

/** What to do about the number of pods. */
export interface ReplicaPlan {
  readonly create: number;
  readonly remove: readonly V1Pod[];
}

/** Compares the pods there are with those wanted. `pods` are those claimed. Pure. */
export function planReplicas(set: V1ReplicaSet, pods: readonly V1Pod[], now: number): ReplicaPlan {
  const active = pods.filter(isActive);
  const missing = (set.spec?.replicas ?? 1) - active.length;
  if (missing >= 0) return { create: Math.min(missing, burst), remove: [] };
  return { create: 0, remove: inOrderOfDeletion(active, now).slice(0, Math.min(-missing, burst)) };
}

/** The status that the pods make; `failure` is what went wrong in this pass. Pure. */
export function planStatus(
  set: V1ReplicaSet,
  pods: readonly V1Pod[],
  now: number,
  failure: { readonly reason: 'FailedCreate' | 'FailedDelete'; readonly message: string } | undefined,
): { readonly status: V1ReplicaSetStatus; readonly changed: boolean; readonly after: number | undefined } {
  const active = pods.filter(isActive);
  const labels = set.spec?.template?.metadata?.labels ?? {};
  const minReady = set.spec?.minReadySeconds ?? 0;
  const old = set.status;
  let conditions = [...(old?.conditions ?? [])];
  if (failure && !conditionOf(conditions, 'ReplicaFailure'))
    conditions = withCondition(conditions, { type: 'ReplicaFailure', status: 'True', ...failure }, now);
  else if (!failure) conditions = withoutCondition(conditions, 'ReplicaFailure');
  const status: V1ReplicaSetStatus = {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((pod) => matchesLabels(pod.metadata?.labels, labels)).length || undefined,
    readyReplicas: active.filter(isReady).length || undefined,
    availableReplicas: active.filter((pod) => isAvailable(pod, minReady, now)).length || undefined,
    observedGeneration: set.metadata?.generation,
    ...(conditions.length > 0 ? { conditions } : {}),
  };
  const { terminatingReplicas: _, ...known } = old ?? { replicas: -1 };
  return { status, changed: !equalJson(known, status), after: untilAvailable(active, minReady, now) };
}
