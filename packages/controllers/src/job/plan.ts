import { timeText, type V1Job, type V1JobCondition, type V1JobStatus, type V1Pod } from '@wherry/api';
import { backoffDelay, millisOf } from '@wherry/client';
import { conditionOf } from '../conditions.ts';
import { isReady } from '../pods/pod-facts.ts';
import { endedAt, failsByIndex } from './index-failures.ts';
import { indexOfPod, parseIndexes, writeIndexes } from './indexes.ts';
import { successPolicyMessage } from './success-policy.ts';

export const trackingFinalizer = 'batch.kubernetes.io/job-tracking';
const firstRetry = 10_000;
const longestRetry = 600_000;

/** Why a job ends. */
export interface Ending {
  readonly success: boolean;
  readonly reason: string;
  readonly message: string;
}

/** A job's pods sorted by what they count for. */
export interface PodCounts {
  readonly active: readonly V1Pod[];
  readonly terminating: readonly V1Pod[];
  /** Ended and not counted in the status yet: they still have the finalizer. */
  readonly succeeded: readonly V1Pod[];
  readonly failed: readonly V1Pod[];
}

/** Whether the job has reached a final condition. */
export function isJobFinished(job: V1Job): boolean {
  return finalCondition(job) !== undefined;
}

/** Its `Complete` or `Failed` condition. */
export function finalCondition(job: V1Job): V1JobCondition | undefined {
  return job.status?.conditions?.find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
}

/** Sorts pods. A pod that is being deleted before it succeeded has failed (podReplacementPolicy, KEP-3939). */
export function sortPods(job: V1Job, pods: readonly V1Pod[]): PodCounts {
  const waitForEnd = job.spec?.podReplacementPolicy === 'Failed';
  const counts = { active: [], terminating: [], succeeded: [], failed: [] } as Record<keyof PodCounts, V1Pod[]>;
  for (const pod of pods) {
    const deleting = pod.metadata?.deletionTimestamp !== undefined;
    const tracked = pod.metadata?.finalizers?.includes(trackingFinalizer) ?? false;
    const phase = pod.status?.phase;
    if (phase === 'Succeeded') {
      if (tracked) counts.succeeded.push(pod);
    } else if (phase === 'Failed') {
      if (tracked) counts.failed.push(pod);
    } else if (deleting) {
      counts.terminating.push(pod);
      if (tracked && !waitForEnd) counts.failed.push(pod);
    } else counts.active.push(pod);
  }
  return counts;
}

/** The pods whose places are not free: those that end too, where only failed ones are replaced. */
export function occupying(
  { spec }: V1Job,
  { active, terminating }: Pick<PodCounts, 'active' | 'terminating'>,
): readonly V1Pod[] {
  return spec?.podReplacementPolicy === 'Failed' ? [...active, ...terminating] : active;
}

/** Takes the ended pods into the counters of the status. Pods of an index that is done count once. */
export function countPods(
  job: V1Job,
  { succeeded, failed }: PodCounts,
): Pick<V1JobStatus, 'succeeded' | 'failed' | 'completedIndexes'> {
  const status = job.status ?? {};
  if (job.spec?.completionMode !== 'Indexed')
    return {
      succeeded: (status.succeeded ?? 0) + succeeded.length || undefined,
      failed: (status.failed ?? 0) + failed.length || undefined,
    };
  const limit = job.spec.completions ?? 0;
  const done = parseIndexes(status.completedIndexes, limit);
  for (const pod of succeeded) {
    const index = indexOfPod(pod);
    if (index !== undefined && index < limit) done.add(index);
  }
  return {
    succeeded: done.size || undefined,
    failed: (status.failed ?? 0) + failed.length || undefined,
    completedIndexes: done.size > 0 ? writeIndexes(done) : undefined,
  };
}

/** What of a job's state decides over its end. */
export interface Progress extends Pick<V1JobStatus, 'completedIndexes' | 'failedIndexes'> {
  readonly succeeded: number;
  readonly failed: number;
  readonly active: readonly V1Pod[];
  /** Why a failed pod fails the whole job (`podFailurePolicy`). */
  readonly failJob: string | undefined;
}

/** Whether and why the job ends, given its counters. Pure. */
export function endingOf(job: V1Job, counted: Progress, now: number): Ending | undefined {
  const before =
    conditionOf(job.status?.conditions, 'FailureTarget') ?? conditionOf(job.status?.conditions, 'SuccessCriteriaMet');
  if (before?.status === 'True')
    return {
      success: before.type === 'SuccessCriteriaMet',
      reason: before.reason ?? '',
      message: before.message ?? '',
    };
  if (counted.failJob !== undefined) return { success: false, reason: 'PodFailurePolicy', message: counted.failJob };
  const { backoffLimit = 6, activeDeadlineSeconds, completions, suspend } = job.spec ?? {};
  const onFailure = job.spec?.template.spec?.restartPolicy === 'OnFailure';
  const restarts = onFailure ? counted.active.reduce((sum, pod) => sum + restartsOf(pod), 0) : 0;
  if (counted.failed > backoffLimit || (onFailure && restarts > 0 && restarts >= backoffLimit))
    return {
      success: false,
      reason: 'BackoffLimitExceeded',
      message: 'Job has reached the specified backoff limit',
    };
  const started = millisOf(job.status?.startTime);
  if (
    !suspend &&
    activeDeadlineSeconds !== undefined &&
    started !== undefined &&
    now >= started + activeDeadlineSeconds * 1000
  )
    return { success: false, reason: 'DeadlineExceeded', message: 'Job was active longer than specified deadline' };
  if (job.spec?.completionMode === 'Indexed') {
    const ending = endingByIndexes(job, counted);
    if (ending) return ending;
  }
  const complete =
    completions === undefined ? counted.succeeded > 0 && counted.active.length === 0 : counted.succeeded >= completions;
  return complete
    ? { success: true, reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' }
    : undefined;
}

function endingByIndexes(job: V1Job, { completedIndexes, failedIndexes }: Progress): Ending | undefined {
  const limit = job.spec?.completions ?? 0;
  const completed = parseIndexes(completedIndexes, limit);
  if (failsByIndex(job)) {
    const failed = parseIndexes(failedIndexes, limit);
    if (job.spec?.maxFailedIndexes !== undefined && failed.size > job.spec.maxFailedIndexes) {
      const message = 'Job has exceeded the specified maximal number of failed indexes';
      return { success: false, reason: 'MaxFailedIndexesExceeded', message };
    }
    if (failed.size > 0 && failed.size + completed.size >= limit)
      return { success: false, reason: 'FailedIndexes', message: 'Job has failed indexes' };
  }
  const met = successPolicyMessage(job, completed);
  return met === undefined ? undefined : { success: true, reason: 'SuccessPolicy', message: met };
}

function restartsOf(pod: V1Pod): number {
  const all = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  return all.reduce((sum, { restartCount }) => sum + restartCount, 0);
}

/** How many pods should run now; `ended` are the completions that succeeded and the indexes that failed. Pure. */
export function wantedActive(job: V1Job, ended: number): number {
  const { completions, parallelism = 1, suspend } = job.spec ?? {};
  if (suspend) return 0;
  if (completions === undefined) return ended > 0 ? 0 : parallelism;
  return Math.max(0, Math.min(parallelism, completions - ended));
}

/** Indexes to start, lowest first: neither done nor running. */
export function missingIndexes(
  job: V1Job,
  done: ReadonlySet<number>,
  active: readonly V1Pod[],
  count: number,
): number[] {
  const running = new Set(active.map(indexOfPod));
  const missing: number[] = [];
  for (let index = 0; index < (job.spec?.completions ?? 0) && missing.length < count; index++)
    if (!done.has(index) && !running.has(index)) missing.push(index);
  return missing;
}

/** Milliseconds until a pod may replace failed ones: 10 s, doubled by each failure since the last success, at most 10 min. */
export function retryDelay(pods: readonly V1Pod[], now: number): number {
  const lastSuccess = Math.max(0, ...pods.filter((pod) => pod.status?.phase === 'Succeeded').map(endedAt));
  const failures = pods.filter((pod) => pod.status?.phase === 'Failed' && endedAt(pod) > lastSuccess).map(endedAt);
  if (failures.length === 0) return 0;
  return Math.max(0, Math.max(...failures) + backoffDelay(failures.length, firstRetry, longestRetry) - now);
}

/** The conditions when the job ends: the verdict at once, the final one when no pod is left. Pure. */
export function endingConditions(job: V1Job, ending: Ending, podsLeft: boolean, now: number): V1JobCondition[] {
  const time = timeText(now);
  const conditions = [...(job.status?.conditions ?? [])];
  const add = (type: string): void => {
    if (conditionOf(conditions, type)?.status === 'True') return;
    conditions.push({
      type,
      status: 'True',
      reason: ending.reason,
      message: ending.message,
      lastProbeTime: time,
      lastTransitionTime: time,
    });
  };
  add(ending.success ? 'SuccessCriteriaMet' : 'FailureTarget');
  if (!podsLeft) add(ending.success ? 'Complete' : 'Failed');
  return conditions;
}

/** The status counters that describe living pods. */
export function livingCounts({
  active,
  terminating,
}: PodCounts): Pick<V1JobStatus, 'active' | 'ready' | 'terminating'> {
  return { active: active.length || undefined, ready: active.filter(isReady).length, terminating: terminating.length };
}
