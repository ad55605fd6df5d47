import { timeText, type V1Container, type V1Job, type V1JobStatus, type V1Pod } from '@wherry/api';
import { codeOf } from '@wherry/base';
import {
  type EventRecorder,
  equalJson,
  keyOf,
  millisOf,
  type ReconcileResult,
  resources,
  sharedIndexes,
} from '@wherry/client';
import { conditionOf } from '../conditions.ts';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { OwnWrites } from '../own-writes.ts';
import { inOrderOfDeletion } from '../pods/deletion-rank.ts';
import { Expectations } from '../pods/expectations.ts';
import { createPodControl, namespaceEnds, type PodControl, watchPods } from '../pods/pod-control.ts';
import { generatedName } from '../pods/pod-from-template.ts';
import { slowStart } from '../pods/slow-start.ts';
import { ownerKey } from '../replica-set/replica-set.ts';
import { failJobMessage, verdictOn } from './failure-policy.ts';
import { failsByIndex, failsIndex, failureAnnotations, indexRetryAt, lastFailures } from './index-failures.ts';
import { indexAnnotation, indexOfPod, parseIndexes, writeIndexes } from './indexes.ts';
import {
  countPods,
  endingConditions,
  endingOf,
  isJobFinished,
  livingCounts,
  missingIndexes,
  occupying,
  type PodCounts,
  retryDelay,
  sortPods,
  trackingFinalizer,
  wantedActive,
} from './plan.ts';

const kind = { apiVersion: 'batch/v1', kind: 'Job' };

/** Runs Jobs. Ended pods are counted exactly once: by a finalizer that goes when the count is in the status. */
export function jobController(context: ControllerContext): Controller {
  const { client, informers, clock, random } = context;
  return defineController(context, {
    name: 'job-controller',
    kind,
    start({ queue, events }) {
      const jobs = informers.informer<V1Job>(resources.jobs);
      const pods = informers.informer<V1Pod>(resources.pods, {
        indexes: { controller: sharedIndexes.controller, trackedByJob },
      });
      const writes = new OwnWrites();
      const expectations = new Expectations(clock);
      const control = createPodControl({ client, random, events, kind, expectations });
      return {
        synced: [jobs.synced, pods.synced],
        subscriptions: [
          jobs.onChange((change) => queue.add(keyOf(change.object))),
          watchPods(pods, { ownerOf: (pod) => ownerKey(pod, 'Job'), expectations, add: (key) => queue.add(key) }),
          pods.onChange(({ type, object }) => {
            // A pod whose job is gone must not be held back by the job's finalizer.
            if (type === 'deleted' || !object.metadata?.finalizers?.includes(trackingFinalizer)) return;
            const key = ownerKey(object, 'Job');
            if (key && object.metadata.deletionTimestamp) queue.add(key);
          }),
        ],
        async reconcile(key) {
          const job = jobs.get(key);
          const orphanOf = pods
            .byIndex('trackedByJob', key)
            .filter((pod) => !sharedIndexes.controller(pod).includes(job?.metadata?.uid ?? ''));
          for (const pod of orphanOf) await releasePod(context, pod);
          if (job === undefined) {
            expectations.forget(key);
            writes.forget(key);
            return undefined;
          }
          if (writes.isStale(key, job)) return undefined; // its next version comes through the informer
          if (isJobFinished(job)) {
            for (const pod of pods.byIndex('controller', job.metadata?.uid ?? '')) await releasePod(context, pod);
            return undefined;
          }
          if (job.spec?.managedBy && job.spec.managedBy !== 'kubernetes.io/job-controller') return undefined;
          const settled = expectations.satisfied(key);
          const own = pods.byIndex('controller', job.metadata?.uid ?? '');
          return new Pass(context, events, control, job, own, settled, writes).run();
        },
      };
    },
  });
}

/** The job that a pod with the tracking finalizer belongs to. */
function trackedByJob(pod: V1Pod): readonly string[] {
  const key = pod.metadata?.finalizers?.includes(trackingFinalizer) ? ownerKey(pod, 'Job') : undefined;
  return key === undefined ? [] : [key];
}

async function releasePod({ client }: ControllerContext, pod: V1Pod): Promise<void> {
  const { namespace, name, uid, finalizers = [] } = pod.metadata ?? {};
  if (!finalizers.includes(trackingFinalizer)) return;
  const left = finalizers.filter((one) => one !== trackingFinalizer);
  try {
    const metadata = { uid, resourceVersion: pod.metadata?.resourceVersion, finalizers: left };
    await client.patch(resources.pods, { namespace, name: name! }, 'merge', { metadata });
  } catch (error) {
    if (codeOf(error) !== 'notFound') throw error;
  }
}

type Counted = Pick<V1JobStatus, 'succeeded' | 'failed' | 'completedIndexes' | 'failedIndexes'>;

class Pass {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #control: PodControl;
  readonly #pods: readonly V1Pod[];
  readonly #settled: boolean;
  readonly #writes: OwnWrites;
  #job: V1Job;

  constructor(
    context: ControllerContext,
    events: EventRecorder,
    control: PodControl,
    job: V1Job,
    pods: readonly V1Pod[],
    settled: boolean,
    writes: OwnWrites,
  ) {
    this.#context = context;
    this.#events = events;
    this.#control = control;
    this.#job = job;
    this.#pods = pods;
    this.#settled = settled;
    this.#writes = writes;
  }

  async run(): Promise<ReconcileResult> {
    const { clock } = this.#context;
    const now = clock.now();
    const job = this.#job;
    const counts = sortPods(job, this.#pods);
    const counted = await this.#count(counts);
    const { failed = 0, succeeded = 0, completedIndexes, failedIndexes } = counted;
    const failJob = failJobMessage(job, this.#pods);
    const progress = { succeeded, failed, completedIndexes, failedIndexes, active: counts.active, failJob };
    const ending = endingOf(this.#job, progress, now);
    const status: V1JobStatus = { ...this.#job.status, ...counted, ...livingCounts(counts) };
    if (!status.startTime && !job.spec?.suspend) status.startTime = timeText(now);
    let after: number | undefined;
    if (ending) {
      for (const pod of counts.active) await this.#control.delete(job, pod);
      const podsLeft = counts.active.length > 0 || counts.terminating.length > 0 || !this.#settled;
      status.conditions = endingConditions({ ...job, status }, ending, podsLeft, now);
      if (!podsLeft && ending.success) status.completionTime = timeText(now);
      if (!podsLeft) Object.assign(status, { active: undefined, ready: 0, terminating: 0 });
    } else if (this.#settled && !job.metadata?.deletionTimestamp) {
      after = await this.#adjust(counts.active, counts.terminating, counted, now);
    }
    this.#suspension(status, now);
    await this.#write(status);
    if (ending && isJobFinished({ ...job, status })) {
      if (ending.success) this.#events.event(job, 'Normal', 'Completed', 'Job completed');
      else this.#events.event(job, 'Warning', ending.reason, ending.message);
    }
    const deadline = this.#untilDeadline(status, now);
    const next = Math.min(after ?? Number.POSITIVE_INFINITY, deadline ?? Number.POSITIVE_INFINITY);
    return ending || !Number.isFinite(next) ? undefined : { after: next };
  }

  /**
   * Counts ended pods: names them in the status, takes their finalizers off, then moves them to the
   * counters. A crash in between repeats a step, and nothing is counted twice or lost (KEP-2307).
   */
  async #count({ active, terminating, ...ended }: PodCounts): Promise<Counted> {
    const job = this.#job;
    const named = job.status?.uncountedTerminatedPods ?? {};
    const uidOf = (pod: V1Pod): string => pod.metadata?.uid ?? '';
    const indexed = job.spec?.completionMode === 'Indexed';
    const { succeeded } = ended;
    const held = this.#heldBack({ active, terminating, ...ended });
    const failed = ended.failed.filter((pod) => !held.has(pod));
    const counting = failed.filter((pod) => verdictOn(job, pod).action !== 'Ignore');
    const uncounted = {
      // Successful indexes are a set: writing them before the finalizers go is enough.
      succeeded: indexed ? [] : [...new Set([...(named.succeeded ?? []), ...succeeded.map(uidOf)])],
      failed: [...new Set([...(named.failed ?? []), ...counting.map(uidOf)])],
    };
    const none = { active: [], terminating: [], succeeded: [], failed: [] };
    const failedIndexes = this.#failedIndexes(ended.failed);
    if (succeeded.length + failed.length + uncounted.succeeded.length + uncounted.failed.length === 0)
      return { ...countPods(job, none), ...failedIndexes };
    const indexes = indexed ? { ...countPods(job, { ...none, succeeded }), ...failedIndexes } : {};
    await this.#write({ ...job.status, ...indexes, uncountedTerminatedPods: uncounted });
    for (const pod of [...succeeded, ...failed]) await releasePod(this.#context, pod);
    // Those named earlier whose finalizer is off already count as well, though their pods may be gone.
    const placeholder = (uid: string): V1Pod => this.#pods.find((pod) => uidOf(pod) === uid) ?? { metadata: { uid } };
    const counted = countPods(this.#job, {
      ...none,
      succeeded: uncounted.succeeded.map(placeholder),
      failed: uncounted.failed.map(placeholder),
    });
    const all = { ...counted, ...failedIndexes };
    this.#job = { ...this.#job, status: { ...this.#job.status, ...all, uncountedTerminatedPods: {} } };
    return all;
  }

  /** The last failed pod of an index keeps its finalizer until another carries the index's count on. */
  #heldBack({ active, terminating, failed }: PodCounts): Set<V1Pod> {
    const job = this.#job;
    const ends = job.status?.conditions?.some(
      ({ type, status }) => (type === 'FailureTarget' || type === 'SuccessCriteriaMet') && status === 'True',
    );
    if (!failsByIndex(job) || ends) return new Set();
    const limit = job.spec?.completions ?? 0;
    const carried = new Set(occupying(job, { active, terminating }).map(indexOfPod));
    for (const index of parseIndexes(job.status?.completedIndexes, limit)) carried.add(index);
    const last = [...lastFailures(job, failed)];
    return new Set(last.flatMap(([index, pod]) => (carried.has(index) || failsIndex(job, pod) ? [] : [pod])));
  }

  #failedIndexes(failed: readonly V1Pod[]): Pick<V1JobStatus, 'failedIndexes'> {
    const job = this.#job;
    if (!failsByIndex(job)) return {};
    const limit = job.spec?.completions ?? 0;
    const indexes = parseIndexes(job.status?.failedIndexes, limit);
    for (const pod of failed) {
      const index = indexOfPod(pod);
      if (index !== undefined && index < limit && failsIndex(job, pod)) indexes.add(index);
    }
    return { failedIndexes: writeIndexes(indexes) };
  }

  /** Starts or ends pods; gives the milliseconds after which to look again when a back-off holds it up. */
  async #adjust(
    active: readonly V1Pod[],
    terminating: readonly V1Pod[],
    counted: Counted,
    now: number,
  ): Promise<number | undefined> {
    const job = this.#job;
    const limit = job.spec?.completions ?? 0;
    const failedIndexes = parseIndexes(counted.failedIndexes, limit);
    const wanted = wantedActive(job, (counted.succeeded ?? 0) + failedIndexes.size);
    const busy = occupying(job, { active, terminating }).length;
    if (active.length > wanted) {
      const surplus = inOrderOfDeletion(active, now).slice(0, active.length - wanted);
      for (const pod of surplus) await this.#control.delete(job, pod);
      return undefined;
    }
    const missing = wanted - busy;
    if (missing <= 0) return undefined;
    const done = new Set([...parseIndexes(counted.completedIndexes, limit), ...failedIndexes]);
    const occupied = occupying(job, { active, terminating });
    if (failsByIndex(job)) return this.#startIndexes(missingIndexes(job, done, occupied, limit), missing, now);
    const delay = retryDelay(this.#pods, now);
    if (delay > 0) return delay;
    const indexed = job.spec?.completionMode === 'Indexed';
    const indexes = indexed ? missingIndexes(job, done, occupied, missing) : [];
    await this.#start(indexed ? indexes.length : missing, (pod, at) => {
      if (indexed) this.#giveIndex(pod, indexes[at]!);
    });
    return undefined;
  }

  /** Starts the first of these indexes whose back-off is over; each has its own. Gives the milliseconds until the next is. */
  async #startIndexes(indexes: readonly number[], most: number, now: number): Promise<number | undefined> {
    const last = lastFailures(this.#job, sortPods(this.#job, this.#pods).failed);
    const starts: number[] = [];
    let next: number | undefined;
    for (const index of indexes) {
      const failed = last.get(index);
      const left = failed === undefined ? 0 : indexRetryAt(this.#job, failed) - now;
      if (left <= 0) starts.push(index);
      else next = Math.min(next ?? left, left);
      if (starts.length === most) break;
    }
    await this.#start(starts.length, (pod, at) => {
      const index = starts[at]!;
      this.#giveIndex(pod, index);
      Object.assign(pod.metadata!.annotations!, failureAnnotations(this.#job, last.get(index)));
    });
    return starts.length === most ? undefined : next;
  }

  async #start(count: number, draft: (pod: V1Pod, at: number) => void): Promise<void> {
    const job = this.#job;
    const result = await slowStart(count, async (at) => {
      await this.#control.create(job, job.spec?.template, {
        draft: (pod) => {
          pod.metadata!.finalizers = [...(pod.metadata?.finalizers ?? []), trackingFinalizer];
          draft(pod, at);
        },
      });
    });
    if (result.error !== undefined && !namespaceEnds(result.error)) throw result.error;
  }

  #giveIndex(pod: V1Pod, index: number): void {
    const name = `${this.#job.metadata?.name}-${index}`;
    const metadata = pod.metadata!;
    metadata.generateName = `${name}-`;
    metadata.name = generatedName(metadata.generateName, this.#context.random);
    metadata.annotations = { ...metadata.annotations, [indexAnnotation]: String(index) };
    metadata.labels = { ...metadata.labels, [indexAnnotation]: String(index) };
    pod.spec!.hostname = name;
    const fieldPath = `metadata.labels['${indexAnnotation}']`;
    const env = { name: 'JOB_COMPLETION_INDEX', valueFrom: { fieldRef: { fieldPath } } };
    const withIndex = (container: V1Container): V1Container =>
      container.env?.some(({ name: own }) => own === env.name)
        ? container
        : { ...container, env: [...(container.env ?? []), env] };
    pod.spec!.containers = pod.spec!.containers.map(withIndex);
    if (pod.spec!.initContainers) pod.spec!.initContainers = pod.spec!.initContainers.map(withIndex);
  }

  #suspension(status: V1JobStatus, now: number): void {
    const suspended = conditionOf(status.conditions, 'Suspended');
    const wanted = this.#job.spec?.suspend === true;
    if ((suspended?.status === 'True') === wanted || isJobFinished({ status })) return;
    const time = timeText(now);
    const others = (status.conditions ?? []).filter(({ type }) => type !== 'Suspended');
    const what = wanted
      ? { status: 'True', reason: 'JobSuspended', message: 'Job suspended' }
      : { status: 'False', reason: 'JobResumed', message: 'Job resumed' };
    status.conditions = [...others, { type: 'Suspended', ...what, lastProbeTime: time, lastTransitionTime: time }];
    if (wanted) delete status.startTime;
    else status.startTime = time;
    this.#events.event(this.#job, 'Normal', wanted ? 'Suspended' : 'Resumed', what.message);
  }

  #untilDeadline(status: V1JobStatus, now: number): number | undefined {
    const seconds = this.#job.spec?.activeDeadlineSeconds;
    const started = millisOf(status.startTime);
    return seconds === undefined || started === undefined ? undefined : Math.max(0, started + seconds * 1000 - now);
  }

  async #write(status: V1JobStatus): Promise<void> {
    const stored = this.#context.informers.informer<V1Job>(resources.jobs).get(keyOf(this.#job))?.status;
    const wanted = { uncountedTerminatedPods: {}, ...status };
    const same = equalJson({ uncountedTerminatedPods: {}, terminating: 0, ready: 0, ...stored }, wanted);
    if (same && stored !== undefined) return;
    const next = { ...this.#job, status: wanted };
    const written = await this.#context.client.update<V1Job>(resources.jobs, next, { subresource: 'status' });
    this.#writes.note(keyOf(written), written);
    this.#job = { ...written, status: wanted };
  }
}
