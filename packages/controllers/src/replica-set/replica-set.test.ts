import { statusError, type V1Pod, type V1ReplicaSet } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { inOrderOfDeletion } from '../pods/deletion-rank.ts';
import { replicaSetController } from './replica-set.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [replicaSetController(context)]);
});
afterEach(() => plane[Symbol.asyncDispose]());

const set = (replicas: number): V1ReplicaSet => ({
  metadata: { name: 'web', namespace: 'a' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c' }] } },
  },
});
const stored = (): V1ReplicaSet => plane.api.peek<V1ReplicaSet>(resources.replicaSets, 'a/web')!;

test('thirty pods are made, exactly thirty, and counted', async () => {
  await plane.api.create(resources.replicaSets, set(30));
  await plane.settle();
  expect(plane.pods()).toHaveLength(30);
  expect(plane.api.writes.filter((w) => w.verb === 'create' && w.resource === 'pods')).toHaveLength(30);
  await plane.clock.advance(1000);
  expect(stored().status).toMatchObject({
    replicas: 30,
    readyReplicas: 30,
    availableReplicas: 30,
    fullyLabeledReplicas: 30,
  });
  const [pod] = plane.pods();
  expect(pod!.metadata?.ownerReferences).toEqual([
    {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: 'web',
      uid: stored().metadata?.uid,
      controller: true,
      blockOwnerDeletion: true,
    },
  ]);
  expect(plane.events()[0]).toMatch(/^SuccessfulCreate: Created pod: web-[a-z0-9]{5}$/);
});

test('a pod that is deleted or fails is replaced', async () => {
  await plane.api.create(resources.replicaSets, set(2));
  await plane.settle();
  const [first, second] = plane.pods();
  await plane.api.delete(resources.pods, { namespace: 'a', name: first!.metadata!.name! });
  await plane.setPhase(second!, 'Failed');
  await plane.clock.advance(1000);
  expect(plane.pods().filter((pod) => pod.status?.phase === 'Running')).toHaveLength(2);
});

test('matching orphans are adopted, pods whose labels change are released and replaced', async () => {
  const orphan: V1Pod = {
    metadata: { name: 'orphan', namespace: 'a', labels: { app: 'web' } },
    spec: { containers: [] },
  };
  await plane.api.create(resources.pods, orphan);
  await plane.settle();
  await plane.api.create(resources.replicaSets, set(1));
  await plane.clock.advance(1000);
  expect(plane.pods().map((pod) => pod.metadata?.name)).toEqual(['orphan']);
  expect(plane.pods()[0]!.metadata?.ownerReferences?.[0]?.uid).toBe(stored().metadata?.uid);
  await plane.api.patch(resources.pods, { namespace: 'a', name: 'orphan' }, 'merge', {
    metadata: { labels: { app: 'x' } },
  });
  await plane.clock.advance(1000);
  expect(plane.pods()).toHaveLength(2);
  expect(plane.pods()[0]!.metadata?.ownerReferences).toEqual([]);
});

test('a refused creation starts slowly, is reported, and goes on when it may', async () => {
  let tries = 0;
  plane.api.failWith((verb, resource) =>
    verb === 'create' && resource.resource === 'pods' && ++tries <= 3
      ? statusError('forbidden', 'exceeded quota')
      : undefined,
  );
  await plane.api.create(resources.replicaSets, set(20));
  await plane.settle();
  expect(tries).toBe(2); // one a pass, not twenty; writing the condition makes a second pass
  expect(stored().status?.conditions).toMatchObject([
    { type: 'ReplicaFailure', reason: 'FailedCreate', message: 'exceeded quota' },
  ]);
  await plane.clock.advance(10_000);
  expect(plane.pods()).toHaveLength(20);
  expect(stored().status?.conditions).toBeUndefined();
  expect(plane.events()).toContain('FailedCreate: Error creating: exceeded quota');
});

test('minReadySeconds delays availability by a timer', async () => {
  const wanted = set(1);
  await plane.api.create(resources.replicaSets, { ...wanted, spec: { ...wanted.spec!, minReadySeconds: 30 } });
  await plane.clock.advance(29_000);
  expect(stored().status).toMatchObject({ readyReplicas: 1 });
  expect(stored().status?.availableReplicas).toBeUndefined();
  await plane.clock.advance(2000);
  expect(stored().status).toMatchObject({ availableReplicas: 1 });
});

test('pods are given up in upstream’s order', () => {
  const now = Date.UTC(2026, 0, 1);
  const pod = (name: string, more: { node?: string; phase?: string; ready?: string; cost?: string }): V1Pod => ({
    metadata: {
      name,
      uid: name,
      ...(more.cost ? { annotations: { 'controller.kubernetes.io/pod-deletion-cost': more.cost } } : {}),
    },
    spec: { containers: [], nodeName: more.node },
    status: {
      phase: more.phase ?? 'Running',
      conditions: more.ready ? [{ type: 'Ready', status: 'True', lastTransitionTime: more.ready }] : [],
    },
  });
  const order = inOrderOfDeletion(
    [
      pod('old', { node: 'n1', ready: '2025-12-01T00:00:00Z' }),
      pod('young', { node: 'n3', ready: '2025-12-31T23:59:00Z' }),
      pod('cheap', { node: 'n1', ready: '2025-12-01T00:00:00Z', cost: '-5' }),
      pod('unready', { node: 'n1' }),
      pod('pending', { node: 'n1', phase: 'Pending' }),
      pod('unassigned', { phase: 'Pending' }),
    ],
    now,
  );
  expect(order.map((p) => p.metadata?.name)).toEqual(['unassigned', 'pending', 'unready', 'cheap', 'old', 'young']);
});
