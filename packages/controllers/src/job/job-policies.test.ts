import { timeText, type V1Job, type V1Pod } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { verdictOn } from './failure-policy.ts';
import { jobController } from './job.ts';
import { successPolicyMessage } from './success-policy.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [jobController(context)]);
});
afterEach(() => plane[Symbol.asyncDispose]());

const create = (spec: Partial<V1Job['spec']>): Promise<V1Job> =>
  plane.api.create<V1Job>(resources.jobs, {
    metadata: { name: 'job', namespace: 'a' },
    spec: {
      completions: 1,
      parallelism: 1,
      template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c' }] } },
      ...spec,
    },
  });
const job = (): V1Job => plane.api.peek<V1Job>(resources.jobs, 'a/job')!;
const running = (): V1Pod[] =>
  plane.pods().filter((pod) => pod.status?.phase === 'Running' && !pod.metadata?.deletionTimestamp);
const conditions = (): string[] => (job().status?.conditions ?? []).map(({ type, reason }) => `${type} ${reason}`);
const indexOf = (pod: V1Pod): string => pod.metadata!.annotations!['batch.kubernetes.io/job-completion-index']!;
const failureCount = (pod: V1Pod): string | undefined =>
  pod.metadata!.annotations!['batch.kubernetes.io/job-index-failure-count'];
const ofIndex = (index: number): V1Pod => running().find((pod) => indexOf(pod) === String(index))!;

/** Ends a pod with an exit code, and conditions if any. */
async function exit(pod: V1Pod, exitCode: number, ...types: string[]): Promise<void> {
  const terminated = { exitCode, finishedAt: timeText(plane.clock.now()) };
  const status = {
    phase: exitCode === 0 ? 'Succeeded' : 'Failed',
    conditions: types.map((type) => ({ type, status: 'True' })),
    containerStatuses: [{ name: 'c', state: { terminated }, restartCount: 0, ready: false, image: '', imageID: '' }],
  };
  const { namespace, name } = pod.metadata!;
  await plane.api.patch(resources.pods, { namespace, name: name! }, 'merge', { status }, { subresource: 'status' });
  await plane.settle();
}

const exitRule = (action: string, values: number[], operator = 'In') => ({ action, onExitCodes: { operator, values } });

test('a rule FailJob ends the job at once, what still runs with it', async () => {
  await create({
    completions: 3,
    parallelism: 3,
    backoffLimit: 6,
    podFailurePolicy: { rules: [exitRule('FailJob', [42])] },
  });
  await plane.settle();
  const [first] = running();
  await exit(first!, 42);
  expect(conditions()).toEqual(['FailureTarget PodFailurePolicy', 'Failed PodFailurePolicy']);
  expect(job().status?.conditions?.[0]?.message).toBe(
    `Container c for pod a/${first!.metadata!.name} failed with exit code 42 matching FailJob rule at index 0`,
  );
  expect(running()).toHaveLength(0);
});

test('a rule Ignore does not count the failure towards the limit', async () => {
  await create({
    backoffLimit: 0,
    podFailurePolicy: {
      rules: [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }],
    },
  });
  await plane.settle();
  await exit(running()[0]!, 137, 'DisruptionTarget');
  await plane.clock.advance(10_000);
  expect(job().status?.failed).toBeUndefined();
  expect(running()).toHaveLength(1);
  await exit(running()[0]!, 1);
  expect(conditions()).toEqual(['FailureTarget BackoffLimitExceeded', 'Failed BackoffLimitExceeded']);
  expect(plane.pods().flatMap((pod) => pod.metadata?.finalizers ?? [])).toEqual([]);
});

test('the first rule that matches decides; success is nothing that a rule is about', () => {
  const rules = [exitRule('Ignore', [1]), exitRule('FailJob', [1, 2]), exitRule('Count', [3], 'NotIn')];
  const policy: V1Job = { spec: { template: {}, podFailurePolicy: { rules } } };
  const pod = (exitCode: number): V1Pod => ({
    metadata: { namespace: 'a', name: 'p' },
    status: {
      containerStatuses: [
        { name: 'c', state: { terminated: { exitCode } }, restartCount: 0, ready: false, image: '', imageID: '' },
      ],
    },
  });
  expect([1, 2, 3, 0].map((code) => verdictOn(policy, pod(code)).action)).toEqual([
    'Ignore',
    'FailJob',
    'Count',
    'Count',
  ]);
  expect(verdictOn(policy, pod(0)).message).toBe('');
});

test('each index has its own limit and back-off; the others go on, and the job fails at the end', async () => {
  await create({ completionMode: 'Indexed', completions: 2, parallelism: 2, backoffLimitPerIndex: 1 });
  await plane.settle();
  expect(running().map(failureCount)).toEqual(['0', '0']);
  await exit(ofIndex(0), 1);
  // Its count must not be lost with the pod.
  expect(plane.pods().find((pod) => pod.status?.phase === 'Failed')!.metadata?.finalizers).toHaveLength(1);
  expect(running()).toHaveLength(1);
  await plane.clock.advance(10_000);
  expect(failureCount(ofIndex(0))).toBe('1');
  expect(job().status).toMatchObject({ failed: 1, failedIndexes: '' });
  await exit(ofIndex(0), 1);
  expect(job().status).toMatchObject({ failed: 2, failedIndexes: '0', active: 1 });
  expect(conditions()).toEqual([]);
  await exit(ofIndex(1), 0);
  expect(job().status).toMatchObject({ succeeded: 1, completedIndexes: '1', failedIndexes: '0' });
  expect(conditions()).toEqual(['FailureTarget FailedIndexes', 'Failed FailedIndexes']);
});

test('FailIndex fails an index at the first failure, and too many failed indexes fail the job', async () => {
  await create({
    completionMode: 'Indexed',
    completions: 4,
    parallelism: 4,
    backoffLimitPerIndex: 5,
    maxFailedIndexes: 1,
    podFailurePolicy: { rules: [exitRule('FailIndex', [7])] },
  });
  await plane.settle();
  await exit(ofIndex(2), 7);
  expect(job().status).toMatchObject({ failedIndexes: '2', active: 3 });
  await exit(ofIndex(3), 7);
  expect(conditions()).toEqual(['FailureTarget MaxFailedIndexesExceeded', 'Failed MaxFailedIndexesExceeded']);
});

test('a success policy ends the job early', async () => {
  await create({
    completionMode: 'Indexed',
    completions: 3,
    parallelism: 3,
    successPolicy: { rules: [{ succeededIndexes: '0' }] },
  });
  await plane.settle();
  await exit(ofIndex(1), 0);
  expect(conditions()).toEqual([]);
  await exit(ofIndex(0), 0);
  expect(conditions()).toEqual(['SuccessCriteriaMet SuccessPolicy', 'Complete SuccessPolicy']);
  expect(running()).toHaveLength(0);
});

test('rules of a success policy: a number, indexes, a number of indexes', () => {
  const message = (rule: object, ...done: number[]): string | undefined =>
    successPolicyMessage({ spec: { template: {}, completions: 10, successPolicy: { rules: [rule] } } }, new Set(done));
  expect(message({ succeededCount: 2 }, 5)).toBeUndefined();
  expect(message({ succeededCount: 2 }, 5, 6)).toBe('Matched rules at index 0');
  expect(message({ succeededIndexes: '0,2-3' }, 0, 2)).toBeUndefined();
  expect(message({ succeededIndexes: '0,2-3' }, 0, 2, 3)).toBeDefined();
  expect(message({ succeededIndexes: '0,2-3', succeededCount: 1 }, 3, 9)).toBeDefined();
});
