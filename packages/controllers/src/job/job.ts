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
import { indexAnnotation, parseIndexes } from './indexes.ts';
import {
  countPods,
  endingConditions,
  endingOf,
  isJobFinished,
  livingCounts,
  missingIndexes,
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
    const counted = await this.#count(counts.succeeded, counts.failed);
    const failed = counted.failed ?? 0;
    const succeeded = counted.succeeded ?? 0;
    const ending = endingOf(this.#job, { succeeded, failed, active: counts.active }, now);
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
  async #count(
    succeeded: readonly V1Pod[],
    failed: readonly V1Pod[],
  ): Promise<Pick<V1JobStatus, 'succeeded' | 'failed' | 'completedIndexes'>> {
    const named = this.#job.status?.uncountedTerminatedPods ?? {};
    const uidOf = (pod: V1Pod): string => pod.metadata?.uid ?? '';
    const indexed = this.#job.spec?.completionMode === 'Indexed';
    const uncounted = {
      // Successful indexes are a set: writing them before the finalizers go is enough.
      succeeded: indexed ? [] : [...new Set([...(named.succeeded ?? []), ...succeeded.map(uidOf)])],
      failed: [...new Set([...(named.failed ?? []), ...failed.map(uidOf)])],
    };
    const none = { active: [], terminating: [], succeeded: [], failed: [] };
    if (succeeded.length === 0 && uncounted.succeeded.length === 0 && uncounted.failed.length === 0)
      return countPods(this.#job, none);
    const indexes = indexed ? countPods(this.#job, { ...none, succeeded }) : {};
    await this.#write({ ...this.#job.status, ...indexes, uncountedTerminatedPods: uncounted });
    for (const pod of [...succeeded, ...failed]) await releasePod(this.#context, pod);
    // Those named earlier whose finalizer is off already count as well, though their pods may be gone.
    const placeholder = (uid: string): V1Pod => this.#pods.find((pod) => uidOf(pod) === uid) ?? { metadata: { uid } };
    const counted = countPods(this.#job, {
      active: [],
      terminating: [],
      succeeded: uncounted.succeeded.map(placeholder),
      failed: uncounted.failed.map(placeholder),
    });
    this.#job = { ...this.#job, status: { ...this.#job.status, ...counted, uncountedTerminatedPods: {} } };
    return counted;
  }

  /** Starts or ends pods; gives the milliseconds after which to look again when a back-off holds it up. */
  async #adjust(
    active: readonly V1Pod[],
    terminating: readonly V1Pod[],
    counted: Pick<V1JobStatus, 'succeeded' | 'completedIndexes'>,
    now: number,
  ): Promise<number | undefined> {
    const job = this.#job;
    const wanted = wantedActive(job, counted.succeeded ?? 0);
    const busy = active.length + (job.spec?.podReplacementPolicy === 'Failed' ? terminating.length : 0);
    if (active.length > wanted) {
      const surplus = inOrderOfDeletion(active, now).slice(0, active.length - wanted);
      for (const pod of surplus) await this.#control.delete(job, pod);
      return undefined;
    }
    const missing = wanted - busy;
    if (missing <= 0) return undefined;
    const delay = retryDelay(this.#pods, now);
    if (delay > 0) return delay;
    const indexed = job.spec?.completionMode === 'Indexed';
    const done = parseIndexes(counted.completedIndexes, job.spec?.completions ?? 0);
    const indexes = indexed ? missingIndexes(job, done, [...active, ...terminating], missing) : [];
    const result = await slowStart(indexed ? indexes.length : missing, async (at) => {
      await this.#control.create(job, job.spec?.template, {
        draft: (pod) => {
          pod.metadata!.finalizers = [...(pod.metadata?.finalizers ?? []), trackingFinalizer];
          if (indexed) this.#giveIndex(pod, indexes[at]!);
        },
      });
    });
    if (result.error !== undefined && !namespaceEnds(result.error)) throw result.error;
    return undefined;
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
