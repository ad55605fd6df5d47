import type { V1CronJob, V1Job } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { cronJobController } from './cron-job.ts';
import { parseSchedule } from './schedule.ts';

const next = (schedule: string, from: string, zone?: string): string | undefined => {
  const time = parseSchedule(schedule, zone).nextAfter(Date.parse(from));
  return time === undefined ? undefined : new Date(time).toISOString().slice(0, 16);
};

test('schedules', () => {
  expect(next('*/5 * * * *', '2026-01-01T00:00:00Z')).toBe('2026-01-01T00:05');
  expect(next('0 0 29 2 *', '2026-01-01T00:00:00Z')).toBe('2028-02-29T00:00');
  expect(next('30 4 1,15 * 5', '2026-01-01T05:00:00Z')).toBe('2026-01-02T04:30'); // the 2nd is a Friday
  expect(next('0 9-17/4 * * mon-fri', '2026-01-02T14:00:00Z')).toBe('2026-01-02T17:00');
  expect(next('@weekly', '2026-01-01T00:00:00Z')).toBe('2026-01-04T00:00');
  expect(next('0 0 * * 7', '2026-01-01T00:00:00Z')).toBe('2026-01-04T00:00');
  expect(next('0 0 31 2 *', '2026-01-01T00:00:00Z')).toBeUndefined();
});

test('time zones, and the hours that daylight saving skips or repeats', () => {
  expect(next('0 8 * * *', '2026-01-01T00:00:00Z', 'Asia/Tokyo')).toBe('2026-01-01T23:00');
  expect(next('30 2 * * *', '2026-03-28T12:00:00Z', 'Europe/Berlin')).toBe('2026-03-30T00:30');
  expect(next('30 2 * * *', '2026-10-24T12:00:00Z', 'Europe/Berlin')).toBe('2026-10-25T00:30');
});

test.each(['* * * *', '60 * * * *', '* 24 * * *', '5-1 * * * *', '*/0 * * * *', 'x * * * *', '* * 0 * *'])(
  'a schedule that is none: %s',
  (text) => {
    expect(() => parseSchedule(text)).toThrowError(expect.objectContaining({ code: 'invalid' }));
  },
);

test('an unknown time zone is refused', () => {
  expect(() => parseSchedule('* * * * *', 'Moon/Base')).toThrowError(expect.objectContaining({ code: 'invalid' }));
});

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [cronJobController(context)]);
});
afterEach(() => plane[Symbol.asyncDispose]());

const create = (spec: Partial<V1CronJob['spec']> = {}): Promise<V1CronJob> =>
  plane.api.create<V1CronJob>(resources.cronJobs, {
    metadata: { name: 'cron', namespace: 'a' },
    spec: {
      schedule: '*/5 * * * *',
      jobTemplate: { metadata: { labels: { x: 'y' } }, spec: { template: { spec: { containers: [{ name: 'c' }] } } } },
      ...spec,
    },
  });
const jobs = (): readonly V1Job[] => plane.api.all<V1Job>(resources.jobs);
const cron = (): V1CronJob => plane.api.peek<V1CronJob>(resources.cronJobs, 'a/cron')!;
const minutes = (count: number): Promise<void> => plane.clock.advance(count * 60_000);
const end = async (job: V1Job, type: 'Complete' | 'Failed'): Promise<void> => {
  const completionTime = '2026-01-01T00:06:00Z';
  const status = { conditions: [{ type, status: 'True' }], startTime: job.metadata?.creationTimestamp, completionTime };
  await plane.api.update(resources.jobs, { ...job, status }, { subresource: 'status' });
};

test('jobs start when due, named by their minute', async () => {
  await create();
  await minutes(4);
  expect(jobs()).toHaveLength(0);
  await minutes(1);
  expect(jobs().map((job) => job.metadata?.name)).toEqual([`cron-${Date.UTC(2026, 0, 1, 0, 5) / 60_000}`]);
  expect(jobs()[0]!.metadata?.annotations).toEqual({
    'batch.kubernetes.io/cronjob-scheduled-timestamp': '2026-01-01T00:05:00Z',
  });
  expect(cron().status).toMatchObject({ lastScheduleTime: '2026-01-01T00:05:00Z', active: [{ kind: 'Job' }] });
  await end(jobs()[0]!, 'Complete');
  await plane.settle();
  expect(cron().status?.active).toBeUndefined();
  expect(cron().status?.lastSuccessfulTime).toBe('2026-01-01T00:06:00Z');
  expect(plane.events()).toContain(
    `SawCompletedJob: Saw completed job: ${jobs()[0]!.metadata?.name}, condition: Complete`,
  );
  await minutes(10);
  expect(jobs()).toHaveLength(3);
});

test('concurrency: Forbid waits, Replace takes the old one away', async () => {
  await create({ concurrencyPolicy: 'Forbid' });
  await minutes(10);
  expect(jobs()).toHaveLength(1);
  await plane.api.patch(resources.cronJobs, { namespace: 'a', name: 'cron' }, 'merge', {
    spec: { concurrencyPolicy: 'Replace' },
  });
  await minutes(5);
  expect(jobs()).toHaveLength(1);
  expect(jobs()[0]!.metadata?.name).toBe(`cron-${Date.UTC(2026, 0, 1, 0, 15) / 60_000}`);
});

test('history limits hold, and suspended nothing starts', async () => {
  await create({ successfulJobsHistoryLimit: 1 });
  for (let round = 0; round < 3; round++) {
    await minutes(5);
    for (const job of jobs()) if (!job.status) await end(job, 'Complete');
    await plane.settle();
  }
  expect(jobs()).toHaveLength(1);
  await plane.api.patch(resources.cronJobs, { namespace: 'a', name: 'cron' }, 'merge', { spec: { suspend: true } });
  await minutes(60);
  expect(jobs()).toHaveLength(1);
});

test('after a long pause only the latest missed start is made up for', async () => {
  await create({ suspend: true });
  await minutes(24 * 60);
  await plane.api.patch(resources.cronJobs, { namespace: 'a', name: 'cron' }, 'merge', { spec: { suspend: false } });
  await plane.settle();
  expect(jobs().map((job) => job.metadata?.name)).toEqual([`cron-${Date.UTC(2026, 0, 2) / 60_000}`]);
});
