import type { V1ConfigMap, V1Namespace, V1Pod } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import type { KindResource } from '../kinds.ts';
import { rootCaPublisher, serviceAccountController } from '../service-account/service-account.ts';
import { namespaceController } from './namespace.ts';

const kinds: KindResource[] = [
  { ...resources.pods, kind: 'Pod' },
  { ...resources.configMaps, kind: 'ConfigMap' },
  { ...resources.serviceAccounts, kind: 'ServiceAccount' },
  { ...resources.nodes, kind: 'Node' },
];

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [
    namespaceController(context, () => kinds),
    serviceAccountController(context),
    rootCaPublisher(context, 'PEM'),
  ]);
  await plane.api.create(resources.namespaces, namespace('a'));
  await plane.settle();
});
afterEach(() => plane[Symbol.asyncDispose]());

const namespace = (name: string): V1Namespace => ({
  metadata: { name },
  spec: { finalizers: ['kubernetes'] },
  status: { phase: 'Active' },
});

test('a namespace gets its service account and CA, and gets them back', async () => {
  expect(plane.api.peek(resources.serviceAccounts, 'a/default')).toBeDefined();
  expect(plane.api.peek<V1ConfigMap>(resources.configMaps, 'a/kube-root-ca.crt')?.data).toEqual({ 'ca.crt': 'PEM' });
  await plane.api.delete(resources.serviceAccounts, { namespace: 'a', name: 'default' });
  await plane.api.patch(resources.configMaps, { namespace: 'a', name: 'kube-root-ca.crt' }, 'merge', {
    data: { 'ca.crt': 'X' },
  });
  await plane.settle();
  expect(plane.api.peek(resources.serviceAccounts, 'a/default')).toBeDefined();
  expect(plane.api.peek<V1ConfigMap>(resources.configMaps, 'a/kube-root-ca.crt')?.data).toEqual({ 'ca.crt': 'PEM' });
});

test('a deleted namespace is emptied and goes, others stay whole', async () => {
  await plane.api.create(resources.namespaces, namespace('b'));
  await plane.api.create(resources.configMaps, { metadata: { name: 'c', namespace: 'a' } });
  await plane.api.create(resources.configMaps, { metadata: { name: 'c', namespace: 'b' } });
  await plane.settle();
  await plane.api.delete(resources.namespaces, { name: 'a' });
  await plane.clock.advance(100);
  expect(plane.api.peek(resources.namespaces, 'a')).toBeUndefined();
  expect(plane.api.all(resources.configMaps).every((object) => object.metadata?.namespace === 'b')).toBe(true);
  expect(plane.api.peek(resources.configMaps, 'b/c')).toBeDefined();
});

test('it waits for pods that end gracefully, says so, and goes on at once when they have', async () => {
  const pod: V1Pod = { metadata: { name: 'p', namespace: 'a' }, spec: { nodeName: 'n', containers: [] } };
  await plane.api.create(resources.pods, pod);
  await plane.settle();
  await plane.api.delete(resources.namespaces, { name: 'a' });
  await plane.clock.advance(20_000);
  const waiting = plane.api.peek<V1Namespace>(resources.namespaces, 'a');
  expect(waiting?.status?.conditions).toMatchObject([
    {
      type: 'NamespaceContentRemaining',
      status: 'True',
      reason: 'SomeResourcesRemain',
      message: 'Some resources are remaining: pods. has 1 resource instances',
    },
    { type: 'NamespaceFinalizersRemaining', status: 'False' },
  ]);
  await plane.api.delete(resources.pods, { namespace: 'a', name: 'p' }, { gracePeriodSeconds: 0 });
  await plane.settle();
  expect(plane.api.peek(resources.namespaces, 'a')).toBeUndefined();
});
