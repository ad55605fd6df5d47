import type { V1CronJob, V1Job } from '@wherry/api';
import { millisOf } from '@wherry/client';
import { finalCondition } from '../job/plan.ts';
import { parseSchedule, type Schedule } from './schedule.ts';

/** More missed starts than this are not all looked at (upstream warns from 100 on). */
const mostMissed = 100;

/** What is due. */
export interface CronPlan {
  /** The latest start that was due and not made, ms; only the last of several is made up for. */
  readonly due: number | undefined;
  readonly tooLate: boolean;
  readonly missed: number;
  /** The next start, ms. */
  readonly next: number | undefined;
}

/** The schedule of a CronJob; `TZ=` within it is refused by validation. Error `invalid`. */
export function scheduleOf(cron: V1CronJob): Schedule {
  return parseSchedule(cron.spec?.schedule ?? '', cron.spec?.timeZone || 'UTC');
}

/** What a CronJob should start at `now`. Pure. */
export function planStart(cron: V1CronJob, schedule: Schedule, now: number): CronPlan {
  const created = millisOf(cron.metadata?.creationTimestamp) ?? now;
  const last = millisOf(cron.status?.lastScheduleTime) ?? created;
  const deadline = cron.spec?.startingDeadlineSeconds;
  const from = deadline === undefined ? last : Math.max(last, now - deadline * 1000 - 1);
  let due: number | undefined;
  let missed = 0;
  let next = schedule.nextAfter(from);
  while (next !== undefined && next <= now) {
    due = next;
    missed++;
    if (missed > mostMissed) {
      due = latestBefore(schedule, now);
      next = schedule.nextAfter(now);
      break;
    }
    next = schedule.nextAfter(next);
  }
  const tooLate = due === undefined && deadline !== undefined && (schedule.nextAfter(last) ?? now + 1) <= from;
  return { due, tooLate, missed, next };
}

/** Finds the last due time not after `now` by doubling back. */
function latestBefore(schedule: Schedule, now: number): number | undefined {
  for (let back = 60_000; back < 5 * 366 * 86_400_000; back *= 2) {
    let time = schedule.nextAfter(now - back);
    if (time === undefined || time > now) continue;
    for (let next = schedule.nextAfter(time); next !== undefined && next <= now; next = schedule.nextAfter(time))
      time = next;
    return time;
  }
  return undefined;
}

/** Finished jobs beyond the history limits (3 successful, 1 failed by default), oldest first. Pure. */
export function surplusHistory(cron: V1CronJob, jobs: readonly V1Job[]): V1Job[] {
  const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = cron.spec ?? {};
  const started = (job: V1Job): number => millisOf(job.status?.startTime ?? job.metadata?.creationTimestamp) ?? 0;
  const of = (type: string): V1Job[] =>
    jobs.filter((job) => finalCondition(job)?.type === type).sort((a, b) => started(a) - started(b));
  const beyond = (list: V1Job[], limit: number): V1Job[] => list.slice(0, Math.max(0, list.length - limit));
  return [...beyond(of('Complete'), successfulJobsHistoryLimit), ...beyond(of('Failed'), failedJobsHistoryLimit)];
}
