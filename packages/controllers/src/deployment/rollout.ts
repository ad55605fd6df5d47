import { scaledValue, type V1Deployment, type V1ReplicaSet } from '@wherry/api';
import { desiredOf, mostOf } from './replica-sets.ts';

/** A change of one ReplicaSet's size. */
export interface Scale {
  readonly set: V1ReplicaSet;
  readonly to: number;
}

/** Pods above and below the wanted number that a rollout may have. */
export interface RolloutBounds {
  readonly surge: number;
  readonly unavailable: number;
}

const sizeOf = (set: V1ReplicaSet): number => set.spec?.replicas ?? 1;
const sum = (sets: readonly V1ReplicaSet[], of: (set: V1ReplicaSet) => number): number =>
  sets.reduce((total, set) => total + of(set), 0);
const availableOf = (set: V1ReplicaSet): number => set.status?.availableReplicas ?? 0;

/** The bounds: surge rounds up, unavailable down, and both zero make one unavailable (`ResolveFenceposts`). */
export function boundsOf(deployment: V1Deployment): RolloutBounds {
  if (deployment.spec?.strategy?.type === 'Recreate') return { surge: 0, unavailable: 0 };
  const replicas = deployment.spec?.replicas ?? 1;
  const { maxSurge = '25%', maxUnavailable = '25%' } = deployment.spec?.strategy?.rollingUpdate ?? {};
  const surge = scaledValue(maxSurge, replicas, true);
  const unavailable = scaledValue(maxUnavailable, replicas, false);
  if (surge === 0 && unavailable === 0) return { surge, unavailable: 1 };
  return { surge, unavailable: Math.min(unavailable, replicas) };
}

/** The size that the new ReplicaSet may have now. `sets` are all, the new one included if it exists. */
export function newSize(
  deployment: V1Deployment,
  sets: readonly V1ReplicaSet[],
  current: V1ReplicaSet | undefined,
): number {
  const wanted = deployment.spec?.replicas ?? 1;
  if (deployment.spec?.strategy?.type === 'Recreate') return wanted;
  const most = wanted + boundsOf(deployment).surge;
  const total = sum(sets, sizeOf);
  const own = current === undefined ? 0 : sizeOf(current);
  if (total >= most) return own;
  return own + Math.min(most - total, Math.max(wanted - own, 0));
}

/** Whether sizes must follow a changed `spec.replicas` first (before any rollout goes on). */
export function isScaling(deployment: V1Deployment, sets: readonly V1ReplicaSet[]): boolean {
  const wanted = deployment.spec?.replicas ?? 1;
  return sets.some((set) => {
    const desired = desiredOf(set);
    return sizeOf(set) > 0 && desired !== undefined && desired !== wanted;
  });
}

/** How a rolling update makes room: unhealthy pods of old sets first, then healthy ones while enough are available. */
export function shrinkOld(deployment: V1Deployment, current: V1ReplicaSet, old: readonly V1ReplicaSet[]): Scale[] {
  const wanted = deployment.spec?.replicas ?? 1;
  const { unavailable } = boundsOf(deployment);
  const living = old.filter((set) => sizeOf(set) > 0);
  if (living.length === 0) return [];
  const all = [...living, current];
  const least = wanted - unavailable;
  const newUnavailable = sizeOf(current) - availableOf(current);
  const room = sum(all, sizeOf) - least - newUnavailable;
  if (room <= 0) return [];
  const sizes = new Map(living.map((set) => [set, sizeOf(set)]));
  let cleaned = 0;
  for (const set of living) {
    const unhealthy = sizeOf(set) - Math.min(availableOf(set), sizeOf(set));
    const take = Math.min(room - cleaned, unhealthy);
    if (take <= 0) continue;
    sizes.set(set, sizeOf(set) - take);
    cleaned += take;
  }
  let spare = sum(all, availableOf) - least;
  for (const set of living) {
    if (spare <= 0) break;
    const take = Math.min(sizes.get(set)!, spare);
    sizes.set(set, sizes.get(set)! - take);
    spare -= take;
  }
  return [...sizes].filter(([set, to]) => to !== sizeOf(set)).map(([set, to]) => ({ set, to }));
}

/**
 * How a change of `spec.replicas` is shared out: all of it to the only active (or newest) set, or in
 * proportion to their sizes while a rolling update is under way (upstream's `scale`).
 */
export function proportionalScale(
  deployment: V1Deployment,
  current: V1ReplicaSet | undefined,
  old: readonly V1ReplicaSet[],
): Scale[] {
  const wanted = deployment.spec?.replicas ?? 1;
  const sets = current === undefined ? [...old] : [...old, current];
  const active = sets.filter((set) => sizeOf(set) > 0);
  const only = active.length === 1 ? active[0] : active.length === 0 ? (current ?? old.at(-1)) : undefined;
  if (only) return [{ set: only, to: wanted }];
  if (active.length === 0) return [];
  const saturated =
    current !== undefined &&
    sizeOf(current) === wanted &&
    desiredOf(current) === wanted &&
    availableOf(current) === wanted;
  if (saturated) return old.filter((set) => sizeOf(set) > 0).map((set) => ({ set, to: 0 }));
  if (deployment.spec?.strategy?.type === 'Recreate') return [];
  const allowed = wanted > 0 ? wanted + boundsOf(deployment).surge : 0;
  const toAdd = allowed - sum(active, sizeOf);
  if (toAdd === 0) return active.map((set) => ({ set, to: sizeOf(set) }));
  const ordered = [...active].sort((a, b) => sizeOf(b) - sizeOf(a) || (toAdd > 0 ? ageOrder(b, a) : ageOrder(a, b)));
  const sizes = new Map<V1ReplicaSet, number>();
  let added = 0;
  for (const set of ordered) {
    const share = shareOf(set, wanted, allowed, toAdd - added, toAdd);
    sizes.set(set, sizeOf(set) + share);
    added += share;
  }
  const rest = toAdd - added;
  const [largest] = ordered;
  if (largest && rest !== 0) sizes.set(largest, Math.max(0, sizes.get(largest)! + rest));
  return [...sizes].map(([set, to]) => ({ set, to }));
}

function ageOrder(a: V1ReplicaSet, b: V1ReplicaSet): number {
  return (a.metadata?.creationTimestamp ?? '') < (b.metadata?.creationTimestamp ?? '') ? -1 : 1;
}

function shareOf(set: V1ReplicaSet, wanted: number, allowed: number, left: number, toAdd: number): number {
  const size = sizeOf(set);
  if (size === 0 || left === 0) return 0;
  if (wanted === 0) return -size;
  const before = mostOf(set) || allowed;
  const share = Math.round((size * allowed) / before) - size;
  return toAdd > 0 ? Math.min(share, left) : Math.max(share, left);
}

/** Old, empty ReplicaSets beyond the history limit, lowest revision first. */
export function beyondHistory(
  deployment: V1Deployment,
  old: readonly V1ReplicaSet[],
  revisionOf: (set: V1ReplicaSet) => number,
): readonly V1ReplicaSet[] {
  const limit = deployment.spec?.revisionHistoryLimit ?? 10;
  const living = old.filter((set) => set.metadata?.deletionTimestamp === undefined);
  const surplus = living.length - limit;
  if (surplus <= 0) return [];
  return [...living]
    .sort((a, b) => revisionOf(a) - revisionOf(b) || ageOrder(a, b))
    .slice(0, surplus)
    .filter(
      (set) =>
        (set.status?.replicas ?? 0) === 0 &&
        sizeOf(set) === 0 &&
        (set.metadata?.generation ?? 0) <= (set.status?.observedGeneration ?? 0),
    );
}
