import type { V1Deployment, V1Pod, V1PodDisruptionBudget, V1ReplicaSet } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { disruptionController } from './disruption.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [disruptionController(context)], { kubelet: false });
});
afterEach(() => plane[Symbol.asyncDispose]());

const labels = { app: 'web' };
const ready = (isReady: boolean): V1Pod['status'] => ({
  phase: 'Running',
  conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }],
});
const budget = (spec: V1PodDisruptionBudget['spec']): V1PodDisruptionBudget => ({
  metadata: { name: 'b', namespace: 'a', generation: 1 },
  spec: { selector: { matchLabels: labels }, ...spec },
});
const status = (): V1PodDisruptionBudget['status'] =>
  plane.api.peek<V1PodDisruptionBudget>(resources.podDisruptionBudgets, 'a/b')?.status;

/** A Deployment that wants `replicas`, its ReplicaSet, and pods that are ready or not. */
async function workload(replicas: number, pods: readonly boolean[]): Promise<void> {
  const { api } = plane;
  const deployment = await api.create<V1Deployment>(resources.deployments, {
    metadata: { name: 'web', namespace: 'a' },
    spec: { replicas, selector: { matchLabels: labels }, template: {} },
  });
  const controlledBy = (kind: string, owner: V1Deployment | V1ReplicaSet) => [
    { apiVersion: 'apps/v1', kind, name: owner.metadata!.name!, uid: owner.metadata!.uid!, controller: true },
  ];
  const set = await api.create<V1ReplicaSet>(resources.replicaSets, {
    metadata: { name: 'web-1', namespace: 'a', ownerReferences: controlledBy('Deployment', deployment) },
    spec: { replicas: pods.length, selector: { matchLabels: labels } },
  });
  for (const [at, isReady] of pods.entries())
    await api.create<V1Pod>(resources.pods, {
      metadata: { name: `p${at}`, namespace: 'a', labels, ownerReferences: controlledBy('ReplicaSet', set) },
      spec: { containers: [] },
      status: ready(isReady),
    });
}

test('minAvailable as a number speaks of the pods there are', async () => {
  await workload(9, [true, true, false]);
  await plane.api.create(resources.podDisruptionBudgets, budget({ minAvailable: 1 }));
  await plane.settle();
  expect(status()).toMatchObject({
    currentHealthy: 2,
    desiredHealthy: 1,
    disruptionsAllowed: 1,
    expectedPods: 3,
    observedGeneration: 1,
    conditions: [{ type: 'DisruptionAllowed', status: 'True', reason: 'SufficientPods', observedGeneration: 1 }],
  });
});

test('maxUnavailable counts on what the Deployment wants, in percent rounded up', async () => {
  await workload(4, [true, true, true]);
  await plane.api.create(resources.podDisruptionBudgets, budget({ maxUnavailable: '30%' }));
  await plane.settle();
  // 30% of 4 is 2: two must stay, three are healthy.
  expect(status()).toMatchObject({ currentHealthy: 3, desiredHealthy: 2, disruptionsAllowed: 1, expectedPods: 4 });
  await plane.api.patch(resources.deployments, { namespace: 'a', name: 'web' }, 'merge', { spec: { replicas: 10 } });
  await plane.settle();
  expect(status()).toMatchObject({ desiredHealthy: 7, disruptionsAllowed: 0, expectedPods: 10 });
  expect(status()?.conditions?.[0]).toMatchObject({ status: 'False', reason: 'InsufficientPods' });
});

test('follows the readiness of pods, and writes nothing when nothing of it changed', async () => {
  await workload(2, [true, true]);
  await plane.api.create(resources.podDisruptionBudgets, budget({ minAvailable: '50%' }));
  await plane.settle();
  expect(status()).toMatchObject({ disruptionsAllowed: 1 });
  await plane.api.patch(
    resources.pods,
    { namespace: 'a', name: 'p0' },
    'merge',
    { status: ready(false) },
    { subresource: 'status' },
  );
  await plane.settle();
  expect(status()).toMatchObject({ currentHealthy: 1, disruptionsAllowed: 0 });
  const writes = plane.api.writes.length;
  await plane.api.patch(
    resources.pods,
    { namespace: 'a', name: 'p0' },
    'merge',
    { status: { podIP: '10.0.0.1' } },
    { subresource: 'status' },
  );
  await plane.settle();
  expect(plane.api.writes).toHaveLength(writes + 1);
});

test('a pod whose eviction was granted is not healthy, until two minutes pass and it is still there', async () => {
  await workload(3, [true, true, true]);
  await plane.api.create(resources.podDisruptionBudgets, budget({ minAvailable: 2 }));
  await plane.settle();
  expect(status()).toMatchObject({ disruptionsAllowed: 1 });
  const granted = { disruptionsAllowed: 0, disruptedPods: { p1: new Date(plane.clock.now()).toISOString() } };
  await plane.api.patch(
    resources.podDisruptionBudgets,
    { namespace: 'a', name: 'b' },
    'merge',
    { status: granted },
    { subresource: 'status' },
  );
  await plane.settle();
  expect(status()).toMatchObject({
    currentHealthy: 2,
    disruptionsAllowed: 0,
    disruptedPods: { p1: expect.any(String) },
  });
  await plane.clock.advance(119_000);
  expect(status()).toMatchObject({ disruptionsAllowed: 0 });
  await plane.clock.advance(2_000);
  expect(status()).toMatchObject({ currentHealthy: 3, disruptionsAllowed: 1 });
  expect(status()?.disruptedPods).toBeUndefined();
  expect(plane.events()).toContain("NotDeleted: Pod was expected by PDB a/b to be deleted but it wasn't");
});

test('where nobody can say how many pods there should be, none may be evicted', async () => {
  await plane.api.create<V1Pod>(resources.pods, {
    metadata: {
      name: 'p',
      namespace: 'a',
      labels,
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name: 'j', uid: 'u', controller: true }],
    },
    spec: { containers: [] },
    status: ready(true),
  });
  await plane.api.create(resources.podDisruptionBudgets, budget({ maxUnavailable: 1 }));
  await plane.settle();
  expect(status()).toMatchObject({ disruptionsAllowed: 0, conditions: [{ status: 'False', reason: 'SyncFailed' }] });
  expect(plane.events()).toContain(
    'CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: found no controllers for pod "p"',
  );
});
