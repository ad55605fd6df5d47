import type { V1StatefulSet } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { statefulSetController } from './stateful-set.ts';

let plane: ControlPlane;
const start = async (kubelet: boolean): Promise<void> => {
  plane = await startControlPlane((context) => [statefulSetController(context)], { kubelet });
};
beforeEach(() => start(true));
afterEach(() => plane[Symbol.asyncDispose]());

const create = (spec: Partial<V1StatefulSet['spec']> = {}): Promise<V1StatefulSet> =>
  plane.api.create<V1StatefulSet>(resources.statefulSets, {
    metadata: { name: 'ss', namespace: 'a' },
    spec: {
      serviceName: 'svc',
      replicas: 3,
      selector: { matchLabels: { app: 'ss' } },
      template: { metadata: { labels: { app: 'ss' } }, spec: { containers: [{ name: 'c', image: 'one' }] } },
      ...spec,
    },
  });
const change = (spec: object): Promise<unknown> =>
  plane.api.patch(resources.statefulSets, { namespace: 'a', name: 'ss' }, 'merge', { spec });
const set = (): V1StatefulSet => plane.api.peek<V1StatefulSet>(resources.statefulSets, 'a/ss')!;
const names = (): (string | undefined)[] => plane.pods().map((pod) => pod.metadata?.name);
const images = (): (string | undefined)[] => plane.pods().map((pod) => pod.spec?.containers[0]?.image);
const two = { template: { spec: { containers: [{ name: 'c', image: 'two' }] } } };

test('pods come in order with stable names, host names and claims', async () => {
  await create({ volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'] } }] });
  await plane.settle();
  expect(names()).toEqual(['ss-0', 'ss-1', 'ss-2']);
  const [pod] = plane.pods();
  expect(pod!.spec).toMatchObject({
    hostname: 'ss-0',
    subdomain: 'svc',
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-ss-0' } }],
  });
  expect(pod!.metadata?.labels).toMatchObject({
    'apps.kubernetes.io/pod-index': '0',
    'statefulset.kubernetes.io/pod-name': 'ss-0',
  });
  expect(plane.api.all(resources.persistentVolumeClaims).map((c) => c.metadata?.name)).toEqual([
    'data-ss-0',
    'data-ss-1',
    'data-ss-2',
  ]);
  expect(set().status).toMatchObject({
    replicas: 3,
    readyReplicas: 3,
    currentReplicas: 3,
    updatedReplicas: 3,
    availableReplicas: 3,
  });
  expect(set().status?.currentRevision).toBe(set().status?.updateRevision);
  expect(plane.events()).toContain('SuccessfulCreate: create Pod ss-0 in StatefulSet ss successful');
});

test('each waits for the one before; Parallel does not', async () => {
  await plane[Symbol.asyncDispose]();
  await start(false);
  await create();
  await plane.settle();
  expect(names()).toEqual(['ss-0']);
  await plane.setPhase(plane.pods()[0]!, 'Running');
  await plane.settle();
  expect(names()).toEqual(['ss-0', 'ss-1']);
  await plane[Symbol.asyncDispose]();
  await start(false);
  await create({ podManagementPolicy: 'Parallel' });
  await plane.settle();
  expect(names()).toEqual(['ss-0', 'ss-1', 'ss-2']);
});

test('scaling down takes the highest first and keeps claims', async () => {
  await create({ volumeClaimTemplates: [{ metadata: { name: 'data' } }] });
  await plane.settle();
  const order: (string | undefined)[] = [];
  plane.informers.informer(resources.pods).onChange(({ type, object }) => {
    if (type === 'deleted') order.push(object.metadata?.name);
  });
  await change({ replicas: 1 });
  await plane.settle();
  expect(order).toEqual(['ss-2', 'ss-1']);
  expect(plane.api.all(resources.persistentVolumeClaims)).toHaveLength(3);
});

test('a new template replaces from the highest, down to the partition', async () => {
  await create({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } });
  await plane.settle();
  await change(two);
  await plane.settle();
  expect(images()).toEqual(['one', 'one', 'two']);
  expect(set().status?.currentRevision).not.toBe(set().status?.updateRevision);
  await plane.api.delete(resources.pods, { namespace: 'a', name: 'ss-0' });
  await plane.settle();
  expect(images()).toEqual(['one', 'one', 'two']); // below the partition the old one comes back
  await change({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } } });
  await plane.settle();
  expect(images()).toEqual(['two', 'two', 'two']);
  expect(set().status?.currentRevision).toBe(set().status?.updateRevision);
});

test('a pod that is deleted comes back under its name', async () => {
  await create();
  await plane.settle();
  const uid = plane.pods()[1]!.metadata?.uid;
  await plane.api.delete(resources.pods, { namespace: 'a', name: 'ss-1' });
  await plane.settle();
  expect(names()).toEqual(['ss-0', 'ss-1', 'ss-2']);
  expect(plane.pods()[1]!.metadata?.uid).not.toBe(uid);
});
