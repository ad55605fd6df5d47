import type { V1Lease, V1Node, V1Pod } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { freeRange, nodeIpamController } from './node-ipam.ts';
import { nodeLifecycleController } from './node-lifecycle.ts';
import { evictionTime, planTaints } from './plan.ts';
import { podGarbageCollector } from './pod-gc.ts';
import { taintEvictionController } from './taint-eviction.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [
    nodeLifecycleController(context),
    taintEvictionController(context),
    podGarbageCollector(context),
    nodeIpamController(context, '10.244.0.0/16', 24),
  ]);
});
afterEach(() => plane[Symbol.asyncDispose]());

const create = async (name: string): Promise<void> => {
  await plane.api.create<V1Node>(resources.nodes, {
    metadata: { name },
    spec: {},
    status: {
      conditions: [
        { type: 'Ready', status: 'True' },
        { type: 'DiskPressure', status: 'False' },
      ],
    },
  });
  await plane.api.create<V1Lease>(resources.leases, {
    metadata: { name, namespace: 'kube-node-lease' },
    spec: { renewTime: 'r0' },
  });
  await plane.settle();
};
let renewals = 0;
const renew = (name: string): Promise<unknown> =>
  plane.api.patch(resources.leases, { namespace: 'kube-node-lease', name }, 'merge', {
    spec: { renewTime: `r${++renewals}` },
  });
const node = (name: string): V1Node => plane.api.peek<V1Node>(resources.nodes, name)!;
const taints = (name: string): string[] => (node(name).spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`);
const pod = (name: string, more: Partial<V1Pod['spec']> = {}): Promise<V1Pod> =>
  plane.api.create<V1Pod>(resources.pods, {
    metadata: { name, namespace: 'a' },
    spec: { nodeName: 'n1', containers: [], ...more },
  });

test('a node that renews its lease stays as it is; one that is silent becomes Unknown, and comes back', async () => {
  await create('n1');
  await pod('p');
  await plane.settle();
  for (let round = 0; round < 12; round++) {
    await renew('n1');
    await plane.clock.advance(10_000);
  }
  expect(node('n1').status?.conditions?.[0]).toMatchObject({ status: 'True' });
  await plane.clock.advance(60_000);
  expect(node('n1').status?.conditions).toMatchObject([
    { type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.' },
    { type: 'DiskPressure', status: 'Unknown' },
  ]);
  expect(taints('n1')).toEqual([
    'node.kubernetes.io/unreachable:NoSchedule',
    'node.kubernetes.io/unreachable:NoExecute',
  ]);
  expect(plane.events()).toContain('NodeNotReady: Node n1 status is now: NodeNotReady');
  const status = { conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-01T01:00:00Z' }] };
  await plane.api.update(resources.nodes, { ...node('n1'), status }, { subresource: 'status' });
  await plane.settle();
  expect(taints('n1')).toEqual([]);
});

test('pods leave a tainted node when their toleration ends', async () => {
  await create('n1');
  await pod('now', { terminationGracePeriodSeconds: 0 });
  await pod('later', {
    terminationGracePeriodSeconds: 0,
    tolerations: [{ key: 'k', operator: 'Exists', tolerationSeconds: 20 }],
  });
  await pod('never', { tolerations: [{ operator: 'Exists' }] });
  await plane.settle();
  const spec = { taints: [{ key: 'k', effect: 'NoExecute' }] };
  await plane.api.update(resources.nodes, { ...node('n1'), spec: { ...node('n1').spec, ...spec } });
  await plane.settle();
  expect(plane.pods().map((one) => one.metadata?.name)).toEqual(['later', 'never']);
  await plane.clock.advance(20_500);
  expect(plane.pods().map((one) => one.metadata?.name)).toEqual(['never']);
  expect(plane.events()).toContain('TaintManagerEviction: Marking for deletion Pod a/now');
});

test('pods of a node that is gone go after a while', async () => {
  await create('n1');
  await pod('p');
  await plane.settle();
  await plane.api.delete(resources.nodes, { name: 'n1' });
  await plane.clock.advance(39_000);
  expect(plane.pods()).toHaveLength(1);
  await plane.clock.advance(2000);
  expect(plane.pods()).toHaveLength(0);
});

test('nodes get ranges of their own, and a freed one is given again', async () => {
  await create('n1');
  await create('n2');
  expect([node('n1').spec?.podCIDR, node('n2').spec?.podCIDR]).toEqual(['10.244.0.0/24', '10.244.1.0/24']);
  await plane.api.delete(resources.nodes, { name: 'n1' });
  await create('n3');
  expect(node('n3').spec?.podCIDR).toBe('10.244.0.0/24');
  expect(freeRange('10.0.0.0/30', 30, new Set(['10.0.0.0/30']))).toBeUndefined();
  expect(() => freeRange('10.0.0.0/33', 24, new Set())).toThrowError(expect.objectContaining({ code: 'invalid' }));
});

test('taints follow conditions and leave foreign ones alone', () => {
  const own = { key: 'mine', effect: 'NoSchedule' };
  const sick: V1Node = {
    spec: { unschedulable: true, taints: [own] },
    status: {
      conditions: [
        { type: 'Ready', status: 'False' },
        { type: 'MemoryPressure', status: 'True' },
      ],
    },
  };
  const now = Date.UTC(2026, 0, 1);
  expect(planTaints(sick, now)?.map(({ key, effect }) => `${key}:${effect}`)).toEqual([
    'mine:NoSchedule',
    'node.kubernetes.io/not-ready:NoSchedule',
    'node.kubernetes.io/not-ready:NoExecute',
    'node.kubernetes.io/memory-pressure:NoSchedule',
    'node.kubernetes.io/unschedulable:NoSchedule',
  ]);
  expect(
    planTaints({ spec: { taints: [own] }, status: { conditions: [{ type: 'Ready', status: 'True' }] } }, now),
  ).toBeUndefined();
});

test('the shortest toleration of the taints decides', () => {
  const now = Date.UTC(2026, 0, 1);
  const taint = { key: 'k', effect: 'NoExecute', timeAdded: '2026-01-01T00:00:00Z' };
  const of = (tolerations: NonNullable<V1Pod['spec']>['tolerations']): V1Pod => ({
    spec: { containers: [], tolerations },
  });
  expect(evictionTime(of([]), [taint], now)).toBe(now);
  expect(evictionTime(of([{ operator: 'Exists' }]), [taint], now)).toBeUndefined();
  expect(evictionTime(of([{ key: 'k', operator: 'Exists', tolerationSeconds: 5 }]), [taint], now)).toBe(now + 5000);
  expect(evictionTime(of([]), [{ ...taint, effect: 'NoSchedule' }], now)).toBeUndefined();
});
