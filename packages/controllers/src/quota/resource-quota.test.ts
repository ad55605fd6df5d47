import type { V1Pod, V1ResourceQuota } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { resourceQuotaController } from './resource-quota.ts';

const kinds = [
  { ...resources.pods, kind: 'Pod' },
  { ...resources.configMaps, kind: 'ConfigMap' },
  { ...resources.deployments, kind: 'Deployment' },
];
let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [resourceQuotaController(context, () => kinds)], { kubelet: false });
});
afterEach(() => plane[Symbol.asyncDispose]());

const quota = (hard: Record<string, string>, more: V1ResourceQuota['spec'] = {}): V1ResourceQuota => ({
  metadata: { name: 'q', namespace: 'a' },
  spec: { hard, ...more },
});
const pod = (name: string, cpu: string, namespace = 'a'): V1Pod => ({
  metadata: { name, namespace },
  spec: { containers: [{ name: 'c', resources: { requests: { cpu } } }] },
});
const status = (): V1ResourceQuota['status'] =>
  plane.api.peek<V1ResourceQuota>(resources.resourceQuotas, 'a/q')?.status;

test('shows what is used of every limit, and follows it', async () => {
  await plane.api.create(resources.pods, pod('p1', '300m'));
  await plane.api.create(resources.pods, pod('other', '5', 'b'));
  const hard = {
    pods: '3',
    'requests.cpu': '1',
    'count/deployments.apps': '2',
    configmaps: '5',
    'count/things.x.io': '1',
  };
  await plane.api.create(resources.resourceQuotas, quota(hard));
  await plane.settle();
  const none = { 'count/deployments.apps': '0', configmaps: '0', 'count/things.x.io': '0' };
  expect(status()).toEqual({ hard, used: { pods: '1', 'requests.cpu': '300m', ...none } });
  await plane.api.create(resources.pods, pod('p2', '700m'));
  await plane.api.create(resources.deployments, { metadata: { name: 'd', namespace: 'a' } });
  await plane.settle();
  expect(status()?.used).toMatchObject({ pods: '2', 'requests.cpu': '1', 'count/deployments.apps': '1' });
  const ended = { status: { phase: 'Succeeded' } };
  await plane.api.patch(resources.pods, { namespace: 'a', name: 'p2' }, 'merge', ended, { subresource: 'status' });
  await plane.settle();
  expect(status()?.used).toMatchObject({ pods: '1', 'requests.cpu': '300m' });
  await plane.api.delete(resources.pods, { namespace: 'a', name: 'p1' });
  await plane.settle();
  expect(status()?.used).toMatchObject({ pods: '0', 'requests.cpu': '0' });
});

test('scopes leave out the pods that do not belong', async () => {
  await plane.api.create(resources.pods, pod('p1', '300m'));
  await plane.api.create(resources.pods, {
    metadata: { name: 'p2', namespace: 'a' },
    spec: { containers: [{ name: 'c' }] },
  });
  await plane.api.create(resources.resourceQuotas, quota({ pods: '3' }, { scopes: ['BestEffort'] }));
  await plane.settle();
  expect(status()?.used).toEqual({ pods: '1' });
});

test('a change that uses up nothing writes nothing', async () => {
  await plane.api.create(resources.pods, pod('p1', '300m'));
  await plane.api.create(resources.resourceQuotas, quota({ pods: '3' }));
  await plane.settle();
  const writes = plane.api.writes.length;
  const running = { status: { phase: 'Running' } };
  await plane.api.patch(resources.pods, { namespace: 'a', name: 'p1' }, 'merge', running, { subresource: 'status' });
  await plane.settle();
  expect(plane.api.writes).toHaveLength(writes + 1);
});
