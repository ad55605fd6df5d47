import type { V1Job, V1Pod } from '@wherry/api';
import { backoffDelay, millisOf } from '@wherry/client';
import { verdictOn } from './failure-policy.ts';
import { indexOfPod } from './indexes.ts';

const failureAnnotation = 'batch.kubernetes.io/job-index-failure-count';
const ignoredAnnotation = 'batch.kubernetes.io/job-index-ignored-failure-count';
const firstRetry = 10_000;
const longestRetry = 600_000;

/** Whether every index has failures of its own (`backoffLimitPerIndex`, KEP-3850). */
export function failsByIndex({ spec }: V1Job): boolean {
  return spec?.completionMode === 'Indexed' && spec.backoffLimitPerIndex !== undefined;
}

interface Failures {
  readonly counted: number;
  readonly ignored: number;
}

/** Failures of an index up to and including a failed pod: the pod itself says how many were before it. */
function failuresWith(job: V1Job, pod: V1Pod): Failures {
  const { annotations } = pod.metadata ?? {};
  const [counted, ignored] = [failureAnnotation, ignoredAnnotation].map(
    (name) => Number(annotations?.[name] ?? 0) || 0,
  );
  const isIgnored = verdictOn(job, pod).action === 'Ignore';
  return { counted: counted! + (isIgnored ? 0 : 1), ignored: ignored! + (isIgnored ? 1 : 0) };
}

/** The last failed pod of each index: it carries the index's count. Pure. */
export function lastFailures(job: V1Job, failed: readonly V1Pod[]): Map<number, V1Pod> {
  const last = new Map<number, V1Pod>();
  const total = (pod: V1Pod): number => {
    const { counted, ignored } = failuresWith(job, pod);
    return counted + ignored;
  };
  for (const pod of failed) {
    const index = indexOfPod(pod);
    if (index === undefined) continue;
    const known = last.get(index);
    if (known === undefined || total(pod) > total(known)) last.set(index, pod);
  }
  return last;
}

/** Whether the failed pod is the end of its index. Pure. */
export function failsIndex(job: V1Job, pod: V1Pod): boolean {
  if (verdictOn(job, pod).action === 'FailIndex') return true;
  return failuresWith(job, pod).counted > (job.spec?.backoffLimitPerIndex ?? 0);
}

/** The annotations of a pod that follows one that failed. */
export function failureAnnotations(job: V1Job, failed: V1Pod | undefined): Record<string, string> {
  if (failed === undefined) return { [failureAnnotation]: '0' };
  const { counted, ignored } = failuresWith(job, failed);
  return {
    [failureAnnotation]: String(counted),
    ...(ignored > 0 ? { [ignoredAnnotation]: String(ignored) } : {}),
  };
}

/** When (ms) the index may be tried again after a failed pod: 10 s, doubled by each failure, at most 10 min. */
export function indexRetryAt(job: V1Job, failed: V1Pod): number {
  const { counted, ignored } = failuresWith(job, failed);
  return endedAt(failed) + backoffDelay(counted + ignored, firstRetry, longestRetry);
}

/** When (ms) a pod ended: its last container's end, else its deletion or creation. */
export function endedAt(pod: V1Pod): number {
  const ends = (pod.status?.containerStatuses ?? []).map(({ state }) => millisOf(state?.terminated?.finishedAt) ?? 0);
  const { deletionTimestamp, creationTimestamp } = pod.metadata ?? {};
  return Math.max(0, ...ends) || (millisOf(deletionTimestamp) ?? millisOf(creationTimestamp) ?? 0);
}
