import type { V1EndpointSlice, V1Endpoints, V1Pod, V1Service } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { endpointSliceController } from './endpoint-slices.ts';
import { endpointsController } from './endpoints.ts';
import { planGroups, planSlices } from './plan.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [endpointSliceController(context), endpointsController(context)], {
    kubelet: false,
  });
});
afterEach(() => plane[Symbol.asyncDispose]());

const service = (more: Partial<V1Service['spec']> = {}): V1Service => ({
  metadata: { name: 'web', namespace: 'a', labels: { team: 'x' } },
  spec: { clusterIP: '10.0.0.5', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }], ...more },
});

const pod = (name: string, ip: string, ready = true, more: Partial<V1Pod['spec']> = {}): V1Pod => ({
  metadata: { name, namespace: 'a', labels: { app: 'web' } },
  spec: { nodeName: 'n1', containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080 }] }], ...more },
  status: {
    phase: 'Running',
    podIP: ip,
    podIPs: [{ ip }],
    conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
  },
});

const slices = (): readonly V1EndpointSlice[] => plane.api.all<V1EndpointSlice>(resources.endpointSlices);
const endpoints = (): V1Endpoints | undefined => plane.api.peek<V1Endpoints>(resources.endpoints, 'a/web');

test('pods of a service show in its slice and its Endpoints, ready or not', async () => {
  await plane.api.create(resources.services, service());
  await plane.api.create(resources.pods, pod('p1', '10.1.0.1'));
  await plane.api.create(resources.pods, pod('p2', '10.1.0.2', false));
  await plane.settle();
  expect(slices()).toHaveLength(1);
  const [slice] = slices();
  expect(slice).toMatchObject({
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    metadata: {
      generateName: 'web-',
      labels: {
        team: 'x',
        'kubernetes.io/service-name': 'web',
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
    },
  });
  expect(slice!.endpoints?.map(({ addresses, conditions }) => [addresses[0], conditions])).toEqual([
    ['10.1.0.1', { ready: true, serving: true, terminating: false }],
    ['10.1.0.2', { ready: false, serving: false, terminating: false }],
  ]);
  expect(slice!.endpoints?.[0]).toMatchObject({
    nodeName: 'n1',
    targetRef: { kind: 'Pod', name: 'p1', namespace: 'a' },
  });
  expect(endpoints()?.subsets).toMatchObject([
    {
      addresses: [{ ip: '10.1.0.1' }],
      notReadyAddresses: [{ ip: '10.1.0.2' }],
      ports: [{ port: 8080, protocol: 'TCP' }],
    },
  ]);
});

test('a service without pods has one empty slice, and changes write only what changed', async () => {
  await plane.api.create(resources.services, service());
  await plane.settle();
  expect(slices()).toHaveLength(1);
  expect(slices()[0]!.endpoints).toEqual([]);
  const first = await plane.api.create(resources.pods, pod('p1', '10.1.0.1'));
  await plane.settle();
  expect(slices().flatMap((slice) => slice.endpoints ?? [])).toHaveLength(1);
  expect(slices()).toHaveLength(1);
  const writes = plane.api.writes.length;
  await plane.api.patch(resources.pods, { namespace: 'a', name: 'p1' }, 'merge', {
    metadata: { annotations: { x: 'y' } },
  });
  await plane.clock.advance(60_000);
  expect(plane.api.writes.slice(writes).map((write) => write.resource)).toEqual(['pods']);
  await plane.api.delete(resources.pods, { namespace: 'a', name: first.metadata!.name! });
  await plane.settle();
  expect(slices()[0]!.endpoints?.[0]?.conditions).toEqual({ ready: false, serving: true, terminating: true });
});

test('headless services carry host names and the label; all goes with the service', async () => {
  await plane.api.create(resources.services, service({ clusterIP: 'None' }));
  await plane.api.create(resources.pods, pod('web-0', '10.1.0.1', true, { hostname: 'web-0', subdomain: 'web' }));
  await plane.settle();
  expect(slices()[0]!.endpoints?.[0]?.hostname).toBe('web-0');
  expect(slices()[0]!.metadata?.labels).toHaveProperty(['service.kubernetes.io/headless'], '');
  expect(endpoints()?.subsets?.[0]?.addresses?.[0]?.hostname).toBe('web-0');
  await plane.api.delete(resources.services, { namespace: 'a', name: 'web' });
  await plane.settle();
  expect(slices()).toEqual([]);
  expect(endpoints()).toBeUndefined();
});

test('a service without a selector is left to its owner', async () => {
  await plane.api.create(resources.services, service({ selector: undefined }));
  await plane.api.create(resources.endpoints, { metadata: { name: 'web', namespace: 'a' }, subsets: [] });
  await plane.settle();
  expect(slices()).toEqual([]);
  expect(plane.api.writes).toHaveLength(2);
});

test('slices hold a hundred each and keep what they have when one pod goes', () => {
  const pods = Array.from({ length: 250 }, (_, n) => pod(`p${n}`, `10.1.${Math.floor(n / 250)}.${n}`));
  const groups = planGroups(service(), pods, 'IPv4');
  const made = planSlices('IPv4', groups, [], {});
  expect(made.create.map((slice) => slice.endpoints?.length)).toEqual([100, 100, 50]);
  const existing: V1EndpointSlice[] = made.create.map((part, n) => ({ metadata: { name: `s${n}` }, ...part }));
  const after = planSlices('IPv4', planGroups(service(), pods.slice(1), 'IPv4'), existing, {});
  expect(after).toMatchObject({ create: [], remove: [], update: [{ metadata: { name: 's0' } }] });
  expect(after.update[0]!.endpoints).toHaveLength(99);
});
