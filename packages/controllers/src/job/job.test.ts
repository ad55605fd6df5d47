import type { V1Job, V1Pod } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { parseIndexes, writeIndexes } from './indexes.ts';
import { jobController } from './job.ts';
import { trackingFinalizer } from './plan.ts';
import { ttlAfterFinishedController } from './ttl-after-finished.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [jobController(context), ttlAfterFinishedController(context)]);
});
afterEach(() => plane[Symbol.asyncDispose]());

const create = (spec: Partial<V1Job['spec']> = {}): Promise<V1Job> =>
  plane.api.create<V1Job>(resources.jobs, {
    metadata: { name: 'job', namespace: 'a' },
    spec: {
      completions: 1,
      parallelism: 1,
      backoffLimit: 6,
      template: {
        metadata: { labels: { 'job-name': 'job' } },
        spec: { restartPolicy: 'Never', containers: [{ name: 'c' }] },
      },
      ...spec,
    },
  });
const job = (): V1Job => plane.api.peek<V1Job>(resources.jobs, 'a/job')!;
const running = (): V1Pod[] =>
  plane.pods().filter((pod) => pod.status?.phase === 'Running' && !pod.metadata?.deletionTimestamp);
const finish = async (phase: string): Promise<void> => {
  for (const pod of running()) await plane.setPhase(pod, phase);
  await plane.settle();
};
const conditions = (): string[] => (job().status?.conditions ?? []).map(({ type, reason }) => `${type} ${reason}`);

test('completions one after the other, counted once, finalizers gone, conditions and Events as upstream', async () => {
  await create({ completions: 2 });
  await plane.settle();
  expect(running()).toHaveLength(1);
  expect(running()[0]!.metadata?.finalizers).toEqual([trackingFinalizer]);
  expect(job().status).toMatchObject({ active: 1, ready: 1, startTime: expect.any(String) });
  await finish('Succeeded');
  expect(running()).toHaveLength(1);
  expect(job().status).toMatchObject({ active: 1, succeeded: 1 });
  await finish('Succeeded');
  expect(job().status).toMatchObject({ succeeded: 2, ready: 0, terminating: 0, uncountedTerminatedPods: {} });
  expect(job().status?.active).toBeUndefined();
  expect(job().status?.completionTime).toBeDefined();
  expect(conditions()).toEqual(['SuccessCriteriaMet CompletionsReached', 'Complete CompletionsReached']);
  expect(plane.pods().flatMap((pod) => pod.metadata?.finalizers ?? [])).toEqual([]);
  expect(plane.pods()).toHaveLength(2);
  const events = plane.events();
  expect(events.map((event) => event.split(':')[0])).toEqual(['SuccessfulCreate', 'SuccessfulCreate', 'Completed']);
  expect(events[2]).toBe('Completed: Job completed');
});

test('parallelism bounds what runs, and never more pods are made than needed', async () => {
  await create({ completions: 5, parallelism: 3 });
  await plane.settle();
  expect(running()).toHaveLength(3);
  await finish('Succeeded');
  expect(running()).toHaveLength(2);
  await finish('Succeeded');
  expect(plane.pods()).toHaveLength(5);
  expect(job().status?.succeeded).toBe(5);
});

test('failures are retried with back-off up to the limit, then the job fails', async () => {
  await create({ backoffLimit: 2 });
  await plane.settle();
  await finish('Failed');
  expect(running()).toHaveLength(0);
  await plane.clock.advance(9000);
  expect(running()).toHaveLength(0);
  await plane.clock.advance(1500);
  expect(running()).toHaveLength(1);
  await finish('Failed');
  await plane.clock.advance(60_000);
  await finish('Failed');
  await plane.clock.advance(1000);
  expect(job().status?.failed).toBe(3);
  expect(conditions()).toEqual(['FailureTarget BackoffLimitExceeded', 'Failed BackoffLimitExceeded']);
  expect(plane.events()).toContain('BackoffLimitExceeded: Job has reached the specified backoff limit');
});

test('an active deadline ends what runs', async () => {
  await create({ activeDeadlineSeconds: 30 });
  await plane.clock.advance(31_000);
  expect(conditions()).toEqual(['FailureTarget DeadlineExceeded', 'Failed DeadlineExceeded']);
  expect(running()).toHaveLength(0);
});

test('an indexed job gives each pod its index and collects them', async () => {
  await create({ completions: 3, parallelism: 2, completionMode: 'Indexed' });
  await plane.settle();
  expect(running().map((pod) => pod.spec?.hostname)).toEqual(['job-0', 'job-1']);
  expect(running()[0]!.spec?.containers[0]?.env?.[0]?.name).toBe('JOB_COMPLETION_INDEX');
  await finish('Succeeded');
  expect(job().status).toMatchObject({ succeeded: 2, completedIndexes: '0,1' });
  expect(running().map((pod) => pod.metadata?.annotations?.['batch.kubernetes.io/job-completion-index'])).toEqual([
    '2',
  ]);
  await finish('Succeeded');
  expect(job().status).toMatchObject({ succeeded: 3, completedIndexes: '0-2' });
});

test('suspended, a job runs nothing; resumed, it does', async () => {
  await create({ suspend: true });
  await plane.settle();
  expect(plane.pods()).toHaveLength(0);
  expect(conditions()).toEqual(['Suspended JobSuspended']);
  await plane.api.patch(resources.jobs, { namespace: 'a', name: 'job' }, 'merge', { spec: { suspend: false } });
  await plane.settle();
  expect(running()).toHaveLength(1);
  expect(job().status?.conditions).toMatchObject([{ type: 'Suspended', status: 'False', reason: 'JobResumed' }]);
});

test('a finished job is deleted after its time to live', async () => {
  await create({ ttlSecondsAfterFinished: 60 });
  await plane.settle();
  await finish('Succeeded');
  await plane.clock.advance(59_000);
  expect(job().metadata?.deletionTimestamp).toBeUndefined();
  await plane.clock.advance(2000);
  expect(job().metadata?.deletionTimestamp).toBeDefined(); // in the foreground: the collector finishes it
});

test('sets of indexes', () => {
  expect([...parseIndexes('0,2-4,9', 9)]).toEqual([0, 2, 3, 4]);
  expect(writeIndexes(new Set([4, 0, 2, 3, 7]))).toBe('0,2-4,7');
  expect([...parseIndexes(undefined, 5)]).toEqual([]);
});
