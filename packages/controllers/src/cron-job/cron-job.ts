import { timeText, type V1CronJob, type V1CronJobStatus, type V1Job } from '@wherry/api';
import { codeOf, messageOf } from '@wherry/base';
import {
  controllerReference,
  draftOf,
  type EventRecorder,
  equalJson,
  keyOf,
  millisOf,
  type ReconcileResult,
  resources,
  sharedIndexes,
} from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { finalCondition } from '../job/plan.ts';
import { ownerKey } from '../replica-set/replica-set.ts';
import { planStart, scheduleOf, surplusHistory } from './plan.ts';
import type { Schedule } from './schedule.ts';

const kind = { apiVersion: 'batch/v1', kind: 'CronJob' };

/** Starts Jobs by schedule: one timer a CronJob, set for its next start. */
export function cronJobController(context: ControllerContext): Controller {
  const { informers } = context;
  return defineController(context, {
    name: 'cronjob-controller',
    kind,
    start({ queue, events }) {
      const crons = informers.informer<V1CronJob>(resources.cronJobs);
      const jobs = informers.informer<V1Job>(resources.jobs, { indexes: { controller: sharedIndexes.controller } });
      return {
        synced: [crons.synced, jobs.synced],
        subscriptions: [
          crons.onChange((change) => queue.add(keyOf(change.object))),
          jobs.onChange(({ object }) => {
            const key = ownerKey(object, 'CronJob');
            if (key) queue.add(key);
          }),
        ],
        async reconcile(key) {
          const cron = crons.get(key);
          if (cron === undefined || cron.metadata?.deletionTimestamp) return undefined;
          const own = jobs.byIndex('controller', cron.metadata?.uid ?? '');
          return new Pass(context, events, cron, own).run();
        },
      };
    },
  });
}

class Pass {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #cron: V1CronJob;
  readonly #jobs: readonly V1Job[];
  readonly #status: V1CronJobStatus;

  constructor(context: ControllerContext, events: EventRecorder, cron: V1CronJob, jobs: readonly V1Job[]) {
    this.#context = context;
    this.#events = events;
    this.#cron = cron;
    this.#jobs = jobs;
    this.#status = draftOf(cron.status ?? {});
  }

  async run(): Promise<ReconcileResult> {
    const { clock } = this.#context;
    this.#takeStock();
    for (const job of surplusHistory(this.#cron, this.#jobs)) await this.#deleteJob(job);
    let schedule: Schedule;
    try {
      schedule = scheduleOf(this.#cron);
    } catch (error) {
      this.#events.event(this.#cron, 'Warning', 'UnparseableSchedule', messageOf(error));
      await this.#write();
      return undefined;
    }
    const { due, tooLate, missed, next } = planStart(this.#cron, schedule, clock.now());
    if (!this.#cron.spec?.suspend) {
      if (missed > 100)
        this.#events.event(
          this.#cron,
          'Warning',
          'TooManyMissedTimes',
          'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew',
        );
      if (tooLate) this.#events.event(this.#cron, 'Warning', 'MissSchedule', 'Missed scheduled time to start a job');
      if (due !== undefined) await this.#start(due);
    }
    await this.#write();
    return next === undefined || this.#cron.spec?.suspend ? undefined : { after: next - clock.now() };
  }

  /** Brings `active` and `lastSuccessfulTime` in line with the jobs. */
  #takeStock(): void {
    const before = this.#status.active ?? [];
    for (const job of this.#jobs) {
      const ended = finalCondition(job);
      if (ended === undefined) continue;
      const { name, uid } = job.metadata ?? {};
      if (before.some((reference) => reference.uid === uid))
        this.#events.event(
          this.#cron,
          'Normal',
          'SawCompletedJob',
          `Saw completed job: ${name}, condition: ${ended.type}`,
        );
      const finished = job.status?.completionTime;
      if (
        ended.type === 'Complete' &&
        finished &&
        (millisOf(this.#status.lastSuccessfulTime) ?? 0) < millisOf(finished)!
      )
        this.#status.lastSuccessfulTime = finished;
    }
    const active = this.#jobs.filter((job) => finalCondition(job) === undefined && !job.metadata?.deletionTimestamp);
    // A job that was just started may not show in the local copy yet: it stays in the list.
    const recent = before.filter(
      ({ uid, name }) =>
        !this.#jobs.some((job) => job.metadata?.uid === uid) && name === this.#nameAt(this.#status.lastScheduleTime),
    );
    const references = [...active.map((job) => this.#reference(job)), ...recent];
    if (references.length > 0) this.#status.active = references;
    else delete this.#status.active;
  }

  #nameAt(time: string | undefined): string {
    return `${this.#cron.metadata?.name}-${Math.floor((millisOf(time) ?? 0) / 60_000)}`;
  }

  #reference(job: V1Job): NonNullable<V1CronJobStatus['active']>[number] {
    const { name, namespace, uid, resourceVersion } = job.metadata ?? {};
    return { apiVersion: 'batch/v1', kind: 'Job', name, namespace, uid, resourceVersion };
  }

  async #start(due: number): Promise<void> {
    const running = this.#jobs.filter((job) => finalCondition(job) === undefined);
    const policy = this.#cron.spec?.concurrencyPolicy ?? 'Allow';
    if (policy === 'Forbid' && (this.#status.active?.length ?? 0) > 0) {
      const message = 'Not starting job because prior execution is running and concurrency policy is Forbid';
      this.#events.event(this.#cron, 'Normal', 'JobAlreadyActive', message);
      return;
    }
    if (policy === 'Replace') for (const job of running) await this.#deleteJob(job);
    const job = this.#newJob(due);
    try {
      const created = await this.#context.client.create<V1Job>(resources.jobs, job);
      this.#events.event(this.#cron, 'Normal', 'SuccessfulCreate', `Created job ${created.metadata?.name}`);
      this.#status.active = [...(this.#status.active ?? []), this.#reference(created)];
    } catch (error) {
      if (codeOf(error) !== 'alreadyExists') {
        this.#events.event(this.#cron, 'Warning', 'FailedCreate', `Error creating job: ${messageOf(error)}`);
        throw error;
      }
    }
    this.#status.lastScheduleTime = timeText(due);
  }

  #newJob(due: number): V1Job {
    const { metadata, spec } = draftOf(this.#cron.spec!.jobTemplate);
    const { namespace } = this.#cron.metadata ?? {};
    const annotations = { ...metadata?.annotations, 'batch.kubernetes.io/cronjob-scheduled-timestamp': timeText(due) };
    return {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: {
        name: this.#nameAt(timeText(due)),
        ...(namespace ? { namespace } : {}),
        ...(metadata?.labels ? { labels: metadata.labels } : {}),
        annotations,
        ownerReferences: [controllerReference(this.#cron, kind)],
      },
      ...(spec ? { spec } : {}),
    };
  }

  async #deleteJob(job: V1Job): Promise<void> {
    const { namespace, name } = job.metadata ?? {};
    try {
      await this.#context.client.delete(
        resources.jobs,
        { namespace, name: name! },
        { propagationPolicy: 'Background' },
      );
      this.#events.event(this.#cron, 'Normal', 'SuccessfulDelete', `Deleted job ${name}`);
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error;
    }
  }

  async #write(): Promise<void> {
    if (equalJson(this.#status, this.#cron.status ?? {})) return;
    const next = { ...this.#cron, status: this.#status };
    await this.#context.client.update<V1CronJob>(resources.cronJobs, next, { subresource: 'status' });
  }
}
