import {
  timeText,
  type V1Deployment,
  type V1DeploymentCondition,
  type V1DeploymentStatus,
  type V1ReplicaSet,
} from '@wherry/api';
import { millisOf } from '@wherry/client';
import { conditionOf, withoutCondition } from '../conditions.ts';
import { boundsOf } from './rollout.ts';

/** Sets a condition as upstream does for Deployments: an equal status and reason changes nothing. */
export function withProgress(
  conditions: readonly V1DeploymentCondition[],
  wanted: V1DeploymentCondition,
  now: number,
  { force = false } = {},
): V1DeploymentCondition[] {
  const old = conditionOf(conditions, wanted.type);
  if (!force && old?.status === wanted.status && old?.reason === wanted.reason) return [...conditions];
  const time = timeText(now);
  const transition = old?.status === wanted.status ? (old.lastTransitionTime ?? time) : time;
  const next = { ...wanted, lastUpdateTime: time, lastTransitionTime: transition };
  return [...conditions.filter(({ type }) => type !== wanted.type), next];
}

/** The status of a Deployment from its ReplicaSets, and when to look again for the progress deadline (ms). Pure. */
export function planStatus(
  deployment: V1Deployment,
  current: V1ReplicaSet | undefined,
  old: readonly V1ReplicaSet[],
  now: number,
): { readonly status: V1DeploymentStatus; readonly after: number | undefined } {
  const sets = current === undefined ? old : [...old, current];
  const sum = (of: (set: V1ReplicaSet) => number | undefined): number =>
    sets.reduce((total, set) => total + (of(set) ?? 0), 0);
  const wanted = deployment.spec?.replicas ?? 1;
  const replicas = sum((set) => set.status?.replicas);
  const available = sum((set) => set.status?.availableReplicas);
  const asked = sum((set) => set.spec?.replicas ?? 1);
  const counts = {
    replicas,
    updated: current?.status?.replicas ?? 0,
    ready: sum((set) => set.status?.readyReplicas),
    available,
    unavailable: Math.max(0, asked - available),
  };
  let conditions = availability(deployment, counts.available, wanted, now);
  const progress = progressOf(deployment, current, counts, conditions, now);
  conditions = progress.conditions;
  const failing = sets
    .map((set) => set.status?.conditions?.find(({ type }) => type === 'ReplicaFailure'))
    .find((condition) => condition?.status === 'True');
  conditions = failing
    ? withProgress(
        conditions,
        { type: 'ReplicaFailure', status: 'True', reason: failing.reason, message: failing.message },
        now,
      )
    : withoutCondition(conditions, 'ReplicaFailure');
  const status: V1DeploymentStatus = {
    observedGeneration: deployment.metadata?.generation,
    replicas: counts.replicas || undefined,
    updatedReplicas: counts.updated || undefined,
    readyReplicas: counts.ready || undefined,
    availableReplicas: counts.available || undefined,
    unavailableReplicas: counts.unavailable || undefined,
    collisionCount: deployment.status?.collisionCount,
    conditions,
  };
  return { status, after: progress.after };
}

function availability(
  deployment: V1Deployment,
  available: number,
  wanted: number,
  now: number,
): V1DeploymentCondition[] {
  const enough = available >= wanted - boundsOf(deployment).unavailable;
  return withProgress(
    deployment.status?.conditions ?? [],
    enough
      ? {
          type: 'Available',
          status: 'True',
          reason: 'MinimumReplicasAvailable',
          message: 'Deployment has minimum availability.',
        }
      : {
          type: 'Available',
          status: 'False',
          reason: 'MinimumReplicasUnavailable',
          message: 'Deployment does not have minimum availability.',
        },
    now,
  );
}

interface Counts {
  readonly replicas: number;
  readonly updated: number;
  readonly ready: number;
  readonly available: number;
}

function progressOf(
  deployment: V1Deployment,
  current: V1ReplicaSet | undefined,
  counts: Counts,
  before: V1DeploymentCondition[],
  now: number,
): { readonly conditions: V1DeploymentCondition[]; readonly after: number | undefined } {
  const deadline = deployment.spec?.progressDeadlineSeconds;
  if (deadline === undefined || deadline >= 2 ** 31 - 1)
    return { conditions: withoutCondition(before, 'Progressing'), after: undefined };
  const known = conditionOf(before, 'Progressing');
  const name = current ? `ReplicaSet "${current.metadata?.name}"` : `Deployment "${deployment.metadata?.name}"`;
  const wanted = deployment.spec?.replicas ?? 1;
  const complete = counts.updated === wanted && counts.replicas === wanted && counts.available === wanted;
  if (deployment.spec?.paused) {
    const paused = {
      type: 'Progressing',
      status: 'Unknown',
      reason: 'DeploymentPaused',
      message: 'Deployment is paused',
    };
    return { conditions: withProgress(before, paused, now), after: undefined };
  }
  if (known?.reason === 'DeploymentPaused') {
    const message = 'Deployment is resumed';
    const resumed = { type: 'Progressing', status: 'Unknown', reason: 'DeploymentResumed', message };
    return { conditions: withProgress(before, resumed, now), after: 0 };
  }
  // Pods that only follow a scale of a finished rollout, or are replaced, start no new rollout.
  if (known?.reason === 'NewReplicaSetAvailable' && counts.updated === counts.replicas)
    return { conditions: before, after: undefined };
  if (complete) {
    const reason = 'NewReplicaSetAvailable';
    const done = { type: 'Progressing', status: 'True', reason, message: `${name} has successfully progressed.` };
    return { conditions: withProgress(before, done, now), after: undefined };
  }
  const last = deployment.status ?? {};
  const moved =
    counts.updated > (last.updatedReplicas ?? 0) ||
    counts.replicas - counts.updated < (last.replicas ?? 0) - (last.updatedReplicas ?? 0) ||
    counts.ready > (last.readyReplicas ?? 0) ||
    counts.available > (last.availableReplicas ?? 0);
  if (moved || known === undefined || known.reason === 'NewReplicaSetAvailable') {
    const message = `${name} is progressing.`;
    const wantedCondition = { type: 'Progressing', status: 'True', reason: 'ReplicaSetUpdated', message };
    return { conditions: withProgress(before, wantedCondition, now, { force: true }), after: deadline * 1000 };
  }
  if (known.reason === 'ProgressDeadlineExceeded') return { conditions: before, after: undefined };
  const left = (millisOf(known.lastUpdateTime) ?? now) + deadline * 1000 - now;
  if (left > 0) return { conditions: before, after: left };
  const late = {
    type: 'Progressing',
    status: 'False',
    reason: 'ProgressDeadlineExceeded',
    message: `${name} has timed out progressing.`,
  };
  return { conditions: withProgress(before, late, now), after: undefined };
}
