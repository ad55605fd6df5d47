import type { V1EndpointSlice, V1Endpoints } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { endpointSliceMirroringController } from './mirroring.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [endpointSliceMirroringController(context)], { kubelet: false });
});
afterEach(() => plane[Symbol.asyncDispose]());

const endpoints = (metadata: V1Endpoints['metadata'] = {}): V1Endpoints => ({
  metadata: { name: 'db', namespace: 'a', ...metadata },
  subsets: [
    {
      addresses: [{ ip: '192.0.2.1' }, { ip: '2001:db8::1' }],
      notReadyAddresses: [{ ip: '192.0.2.2', hostname: 'two' }],
      ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }],
    },
  ],
});
const slices = (): readonly V1EndpointSlice[] => plane.api.all<V1EndpointSlice>(resources.endpointSlices);
const at = { namespace: 'a', name: 'db' };

test('Endpoints of a service without selector show as a slice of each family, and follow', async () => {
  const { api } = plane;
  const annotations = { note: 'x', 'kubectl.kubernetes.io/last-applied-configuration': '{}' };
  await api.create(resources.endpoints, endpoints({ labels: { team: 't' }, annotations }));
  await plane.settle();
  expect(slices()).toHaveLength(0);
  await api.create(resources.services, { metadata: at, spec: { ports: [{ port: 5432 }] } } as never);
  await plane.settle();
  const [four, six] = [...slices()].sort((a, b) => (a.addressType < b.addressType ? -1 : 1));
  expect(four).toMatchObject({
    addressType: 'IPv4',
    endpoints: [
      { addresses: ['192.0.2.1'], conditions: { ready: true } },
      { addresses: ['192.0.2.2'], conditions: { ready: false }, hostname: 'two' },
    ],
    ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }],
    metadata: {
      labels: {
        team: 't',
        'kubernetes.io/service-name': 'db',
        'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io',
      },
      ownerReferences: [{ kind: 'Endpoints', name: 'db' }],
    },
  });
  expect(four!.metadata!.annotations).toEqual({ note: 'x' });
  expect(six).toMatchObject({ addressType: 'IPv6', endpoints: [{ addresses: ['2001:db8::1'] }] });
  await api.update<V1Endpoints>(resources.endpoints, {
    ...endpoints(),
    subsets: [{ addresses: [{ ip: '192.0.2.9' }], ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }] }],
  });
  await plane.settle();
  expect(slices().map((slice) => slice.endpoints?.map(({ addresses }) => addresses[0]))).toEqual([['192.0.2.9']]);
  await api.delete(resources.endpoints, at);
  await plane.settle();
  expect(slices()).toHaveLength(0);
});

test('not mirrored: by label, of leader election, of a service with a selector', async () => {
  const { api } = plane;
  await api.create(resources.services, { metadata: at, spec: {} } as never);
  await api.create(resources.endpoints, endpoints({ labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } }));
  await plane.settle();
  expect(slices()).toHaveLength(0);
  await api.update(
    resources.endpoints,
    endpoints({ annotations: { 'control-plane.alpha.kubernetes.io/leader': '{}' } }),
  );
  await plane.settle();
  expect(slices()).toHaveLength(0);
  await api.update(resources.endpoints, endpoints());
  await plane.settle();
  expect(slices()).toHaveLength(2);
  await api.update(resources.services, { metadata: at, spec: { selector: { app: 'db' } } } as never);
  await plane.settle();
  expect(slices()).toHaveLength(0);
});
