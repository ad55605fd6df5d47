import type { V1Pod, V1StatefulSet } from '@wherry/api';
import { isAvailable, isFinished, isReady } from '../pods/pod-facts.ts';
import { revisionHashLabel } from '../revisions.ts';

/** The next steps for a StatefulSet's pods; the caller does them and comes again with the next change. */
export interface StatefulPlan {
  readonly create: readonly { readonly ordinal: number; readonly updated: boolean }[];
  readonly remove: readonly V1Pod[];
}

/** The ordinal in a pod's name, when it is one of the set's. */
export function ordinalOf(set: V1StatefulSet, pod: V1Pod): number | undefined {
  const prefix = `${set.metadata?.name}-`;
  const name = pod.metadata?.name ?? '';
  const rest = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  return /^(0|[1-9]\d*)$/.test(rest) ? Number(rest) : undefined;
}

/** First and last-plus-one ordinal. */
export function rangeOf(set: V1StatefulSet): { readonly start: number; readonly end: number } {
  const start = set.spec?.ordinals?.start ?? 0;
  return { start, end: start + (set.spec?.replicas ?? 1) };
}

/**
 * What to do next: missing pods are made in order, superfluous ones go from the highest, and pods of
 * an old revision above the partition are replaced from the highest, one at a time. With
 * `OrderedReady` every step waits until all earlier pods are available. Pure.
 */
export function planPods(
  set: V1StatefulSet,
  pods: readonly V1Pod[],
  hashes: { readonly current: string; readonly update: string },
  now: number,
): StatefulPlan {
  const { start, end } = rangeOf(set);
  const ordered = set.spec?.podManagementPolicy !== 'Parallel';
  const minReady = set.spec?.minReadySeconds ?? 0;
  const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  const onDelete = set.spec?.updateStrategy?.type === 'OnDelete';
  const byOrdinal = new Map<number, V1Pod>();
  const condemned: V1Pod[] = [];
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal === undefined) continue;
    if (ordinal >= start && ordinal < end) byOrdinal.set(ordinal, pod);
    else condemned.push(pod);
  }
  const healthy = (pod: V1Pod | undefined): boolean =>
    pod !== undefined && pod.metadata?.deletionTimestamp === undefined && isAvailable(pod, minReady, now);
  const create: { ordinal: number; updated: boolean }[] = [];
  const remove: V1Pod[] = [];
  let blocked = false;
  for (let ordinal = start; ordinal < end && !(ordered && blocked); ordinal++) {
    const pod = byOrdinal.get(ordinal);
    // Below the partition pods stay what they are while an update is under way.
    const updated = ordinal >= start + partition || hashes.current === hashes.update;
    if (pod === undefined) create.push({ ordinal, updated });
    else if (isFinished(pod) && pod.metadata?.deletionTimestamp === undefined) remove.push(pod);
    if (!healthy(pod)) blocked = true;
  }
  if (ordered && blocked) return { create: create.slice(0, 1), remove };
  const down = condemned.sort((a, b) => ordinalOf(set, b)! - ordinalOf(set, a)!);
  if (down.length > 0) {
    const living = down.filter((pod) => pod.metadata?.deletionTimestamp === undefined);
    if (!ordered) return { create, remove: [...remove, ...living] };
    if (down.length === living.length) remove.push(living[0]!); // else one is still going
    return { create, remove };
  }
  if (onDelete || create.length > 0) return { create, remove };
  for (let ordinal = end - 1; ordinal >= start + partition; ordinal--) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined || pod.metadata?.deletionTimestamp !== undefined) break;
    if (pod.metadata?.labels?.[revisionHashLabel] !== hashes.update) {
      remove.push(pod);
      break;
    }
    if (!healthy(pod)) break;
  }
  return { create, remove };
}

/** Counts for the status. */
export function countPods(
  set: V1StatefulSet,
  pods: readonly V1Pod[],
  hashes: { readonly current: string; readonly update: string },
  now: number,
): { replicas: number; ready: number; available: number; current: number; updated: number } {
  const living = pods.filter((pod) => !isFinished(pod));
  const kept = living.filter((pod) => pod.metadata?.deletionTimestamp === undefined);
  const of = (hash: string): number => kept.filter((pod) => pod.metadata?.labels?.[revisionHashLabel] === hash).length;
  return {
    replicas: living.length,
    ready: living.filter(isReady).length,
    available: living.filter((pod) => isAvailable(pod, set.spec?.minReadySeconds ?? 0, now)).length,
    current: of(hashes.current),
    updated: of(hashes.update),
  };
}
