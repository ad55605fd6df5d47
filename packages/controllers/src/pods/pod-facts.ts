import type { V1Pod } from '@wherry/api';
import { millisOf } from '@wherry/client';

/** Whether a pod ended by itself. */
export function isFinished(pod: V1Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Whether a pod counts towards replicas: neither ended nor being deleted. */
export function isActive(pod: V1Pod): boolean {
  return !isFinished(pod) && pod.metadata?.deletionTimestamp === undefined;
}

/** Since when a pod is ready, ms since the epoch; `undefined` while it is not. */
export function readySince(pod: V1Pod): number | undefined {
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready');
  return ready?.status === 'True' ? (millisOf(ready.lastTransitionTime) ?? 0) : undefined;
}

/** Whether a pod is ready. */
export function isReady(pod: V1Pod): boolean {
  return readySince(pod) !== undefined;
}

/** Whether a pod has been ready for `minReadySeconds`. */
export function isAvailable(pod: V1Pod, minReadySeconds: number, now: number): boolean {
  const since = readySince(pod);
  return since !== undefined && since + minReadySeconds * 1000 <= now;
}

/** Milliseconds until the next ready pod becomes available; `undefined` when none is on its way. */
export function untilAvailable(pods: readonly V1Pod[], minReadySeconds: number, now: number): number | undefined {
  let next: number | undefined;
  for (const pod of pods) {
    const since = readySince(pod);
    if (since === undefined) continue;
    const left = since + minReadySeconds * 1000 - now;
    if (left > 0) next = Math.min(next ?? left, left);
  }
  return next;
}
