import type { V1Pod } from '@wherry/api';
import { millisOf } from '@wherry/client';
import { isReady, readySince } from './pod-facts.ts';

const phases: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

function cost(pod: V1Pod): number {
  const value = Number(pod.metadata?.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0);
  return Number.isInteger(value) ? value : 0;
}

function restarts(pod: V1Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount));
}

/**
 * Pods in the order in which they are given up when there are too many (upstream's
 * `ActivePodsWithRanks`): without node, not running, not ready, low deletion cost (KEP-2255), on a
 * node with more of them, ready for a shorter time (in powers of two, KEP-2185), more restarts, younger.
 */
export function inOrderOfDeletion(pods: readonly V1Pod[], now: number): V1Pod[] {
  const perNode = new Map<string, number>();
  for (const { spec } of pods) if (spec?.nodeName) perNode.set(spec.nodeName, (perNode.get(spec.nodeName) ?? 0) + 1);
  const age = (time: number | undefined): number =>
    time === undefined ? 0 : Math.floor(Math.log2(Math.max((now - time) / 1000, 1)));
  const rank = (pod: V1Pod): number[] => [
    pod.spec?.nodeName ? 1 : 0,
    phases[pod.status?.phase ?? 'Pending'] ?? 1,
    isReady(pod) ? 1 : 0,
    cost(pod),
    -(perNode.get(pod.spec?.nodeName ?? '') ?? 0),
    age(readySince(pod)),
    -restarts(pod),
    age(millisOf(pod.metadata?.creationTimestamp)),
  ];
  return pods
    .map((pod) => ({ pod, rank: rank(pod) }))
    .sort((a, b) => {
      for (const [index, value] of a.rank.entries()) if (value !== b.rank[index]) return value - b.rank[index]!;
      return (a.pod.metadata?.uid ?? '') < (b.pod.metadata?.uid ?? '') ? -1 : 1;
    })
    .map(({ pod }) => pod);
}
