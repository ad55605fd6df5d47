import type { V1Deployment, V1ReplicaSet } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { replicaSetController } from '../replica-set/replica-set.ts';
import { deploymentController } from './deployment.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [deploymentController(context), replicaSetController(context)]);
});
afterEach(() => plane[Symbol.asyncDispose]());

const deployment = (more: Partial<V1Deployment['spec']> = {}): V1Deployment => ({
  metadata: { name: 'web', namespace: 'a' },
  spec: {
    replicas: 3,
    progressDeadlineSeconds: 600,
    revisionHistoryLimit: 10,
    selector: { matchLabels: { app: 'web' } },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'one' }] } },
    ...more,
  },
});

const at = { namespace: 'a', name: 'web' };
const current = (): V1Deployment => plane.api.peek<V1Deployment>(resources.deployments, 'a/web')!;
const sets = (): V1ReplicaSet[] =>
  [...plane.api.all<V1ReplicaSet>(resources.replicaSets)].sort(
    (a, b) =>
      Number(a.metadata?.annotations?.['deployment.kubernetes.io/revision']) -
      Number(b.metadata?.annotations?.['deployment.kubernetes.io/revision']),
  );
const sizes = (): (number | undefined)[] => sets().map((set) => set.spec?.replicas);
const change = async (spec: object): Promise<void> => {
  await plane.api.patch(resources.deployments, at, 'merge', { spec });
};
const setImage = (image: string): Promise<void> =>
  change({ template: { spec: { containers: [{ name: 'c', image }] } } });
const condition = (type: string) => current().status?.conditions?.find((c) => c.type === type);

test('a Deployment becomes a ReplicaSet, pods and a status', async () => {
  await plane.api.create(resources.deployments, deployment());
  await plane.settle();
  expect(sizes()).toEqual([3]);
  const [set] = sets();
  expect(set!.metadata?.name).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{8,10}$/);
  expect(set!.metadata?.labels?.['pod-template-hash']).toBe(set!.metadata!.name!.slice(4));
  expect(set!.spec?.selector.matchLabels).toEqual(set!.metadata?.labels);
  expect(plane.pods()).toHaveLength(3);
  expect(plane.pods()[0]!.metadata?.generateName).toBe(`${set!.metadata?.name}-`);
  expect(current().metadata?.annotations).toEqual({ 'deployment.kubernetes.io/revision': '1' });
  expect(current().status).toMatchObject({
    observedGeneration: 1,
    replicas: 3,
    updatedReplicas: 3,
    readyReplicas: 3,
    availableReplicas: 3,
  });
  expect(condition('Progressing')).toMatchObject({
    status: 'True',
    reason: 'NewReplicaSetAvailable',
    message: `ReplicaSet "${set!.metadata?.name}" has successfully progressed.`,
  });
  expect(condition('Available')).toMatchObject({ status: 'True', reason: 'MinimumReplicasAvailable' });
  expect(plane.events()).toContain(`ScalingReplicaSet: Scaled up replica set ${set!.metadata?.name} from 0 to 3`);
});

test('nothing is written once everything is settled', async () => {
  await plane.api.create(resources.deployments, deployment());
  await plane.clock.advance(10_000);
  const writes = plane.api.writes.length;
  await plane.clock.advance(3_600_000);
  expect(plane.api.writes.slice(writes)).toEqual([]);
});

test('a new template rolls over step by step and never breaks its bounds', async () => {
  await plane.api.create(resources.deployments, deployment());
  await plane.settle();
  const seen: number[] = [];
  plane.informers.informer<V1ReplicaSet>(resources.replicaSets).onChange(() => {
    seen.push(sets().reduce((sum, set) => sum + (set.spec?.replicas ?? 0), 0));
  });
  await setImage('two');
  await plane.settle();
  await plane.clock.advance(100);
  expect(sizes()).toEqual([0, 3]);
  expect(Math.max(...seen)).toBe(4);
  expect(Math.min(...seen)).toBe(3);
  expect(current().metadata?.annotations?.['deployment.kubernetes.io/revision']).toBe('2');
  const pods = plane.pods().filter((pod) => !pod.metadata?.deletionTimestamp);
  expect(new Set(pods.map((pod) => pod.spec?.containers[0]?.image))).toEqual(new Set(['two']));
});

test('going back to an old template takes its ReplicaSet up again with a new revision', async () => {
  await plane.api.create(resources.deployments, deployment());
  await plane.clock.advance(100);
  await setImage('two');
  await plane.clock.advance(100);
  await setImage('one');
  await plane.clock.advance(100);
  expect(sets()).toHaveLength(2);
  expect(sizes()).toEqual([0, 3]); // revisions 2 and 3
  expect(sets()[1]!.metadata?.annotations).toMatchObject({
    'deployment.kubernetes.io/revision': '3',
    'deployment.kubernetes.io/revision-history': '1',
  });
  expect(current().metadata?.annotations?.['deployment.kubernetes.io/revision']).toBe('3');
});

test('scaling goes to the one ReplicaSet, with its Event', async () => {
  await plane.api.create(resources.deployments, deployment());
  await plane.clock.advance(100);
  await change({ replicas: 5 });
  await plane.clock.advance(100);
  expect(plane.pods()).toHaveLength(5);
  const name = sets()[0]!.metadata?.name;
  expect(plane.events()).toContain(`ScalingReplicaSet: Scaled up replica set ${name} from 3 to 5`);
  await change({ replicas: 0 });
  await plane.clock.advance(100);
  expect(plane.pods()).toHaveLength(0);
  expect(current().status?.replicas).toBeUndefined();
});

test('Recreate lets the old pods end before the new ones start', async () => {
  await plane.api.create(resources.deployments, deployment({ strategy: { type: 'Recreate' } }));
  await plane.clock.advance(100);
  const images: string[] = [];
  plane.informers.informer(resources.pods).onChange(() => {
    const now = new Set(plane.pods().map((pod) => pod.spec?.containers[0]?.image ?? ''));
    images.push([...now].sort().join('+'));
  });
  await setImage('two');
  await plane.clock.advance(100);
  expect(images).not.toContain('one+two');
  expect(sizes()).toEqual([0, 3]);
});

test('a paused Deployment scales but does not roll; resumed, it does', async () => {
  await plane.api.create(resources.deployments, deployment());
  await plane.clock.advance(100);
  await change({ paused: true });
  await setImage('two');
  await change({ replicas: 4 });
  await plane.clock.advance(100);
  expect(sets()).toHaveLength(1);
  expect(sizes()).toEqual([4]);
  expect(condition('Progressing')).toMatchObject({ status: 'Unknown', reason: 'DeploymentPaused' });
  await change({ paused: false });
  await plane.clock.advance(100);
  expect(sizes()).toEqual([0, 4]);
  expect(condition('Progressing')).toMatchObject({ status: 'True', reason: 'NewReplicaSetAvailable' });
});

test('a rollout that gets stuck is reported after its deadline, and not before', async () => {
  await plane[Symbol.asyncDispose]();
  plane = await startControlPlane((context) => [deploymentController(context), replicaSetController(context)], {
    kubelet: false,
  });
  await plane.api.create(resources.deployments, deployment({ progressDeadlineSeconds: 60 }));
  await plane.clock.advance(59_000);
  expect(condition('Progressing')).toMatchObject({ status: 'True', reason: 'ReplicaSetUpdated' });
  expect(condition('Available')).toMatchObject({ status: 'False', reason: 'MinimumReplicasUnavailable' });
  await plane.clock.advance(2000);
  const name = sets()[0]!.metadata?.name;
  expect(condition('Progressing')).toMatchObject({
    status: 'False',
    reason: 'ProgressDeadlineExceeded',
    message: `ReplicaSet "${name}" has timed out progressing.`,
  });
});

test('old ReplicaSets beyond the history limit go', async () => {
  await plane.api.create(resources.deployments, deployment({ revisionHistoryLimit: 2 }));
  for (const image of ['two', 'three', 'four', 'five']) {
    await plane.clock.advance(1000);
    await setImage(image);
  }
  await plane.clock.advance(1000);
  expect(sets().map((set) => set.metadata?.annotations?.['deployment.kubernetes.io/revision'])).toEqual([
    '3',
    '4',
    '5',
  ]);
});

test('annotations of the Deployment reach its ReplicaSet, last-applied does not', async () => {
  await plane.api.create(resources.deployments, deployment());
  await plane.clock.advance(100);
  const annotations = { 'kubernetes.io/change-cause': 'x', 'kubectl.kubernetes.io/last-applied-configuration': '{}' };
  await plane.api.patch(resources.deployments, at, 'merge', { metadata: { annotations } });
  await plane.clock.advance(100);
  expect(sets()[0]!.metadata?.annotations).toMatchObject({ 'kubernetes.io/change-cause': 'x' });
  expect(sets()[0]!.metadata?.annotations).not.toHaveProperty('kubectl.kubernetes.io/last-applied-configuration');
});
