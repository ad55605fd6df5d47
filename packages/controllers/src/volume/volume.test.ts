import type { V1PersistentVolume, V1PersistentVolumeClaim } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { volumeBinder } from './binder.ts';
import { claimProtectionController, volumeProtectionController } from './protection.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane(
    (context) => [volumeBinder(context), claimProtectionController(context), volumeProtectionController(context)],
    { kubelet: false },
  );
});
afterEach(() => plane[Symbol.asyncDispose]());

const volume = (name: string, storage: string, more: V1PersistentVolume['spec'] = {}): V1PersistentVolume => ({
  metadata: { name },
  spec: {
    capacity: { storage },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    hostPath: { path: `/srv/${name}` },
    ...more,
  },
});
const claim = (name: string, storage: string, more: V1PersistentVolumeClaim['spec'] = {}): V1PersistentVolumeClaim => ({
  metadata: { name, namespace: 'a' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } }, storageClassName: '', ...more },
});
const addVolume = (one: V1PersistentVolume) => plane.api.create(resources.persistentVolumes, one);
const addClaim = (one: V1PersistentVolumeClaim) => plane.api.create(resources.persistentVolumeClaims, one);
const volumeOf = (name: string) => plane.api.peek<V1PersistentVolume>(resources.persistentVolumes, name);
const claimOf = (name: string) =>
  plane.api.peek<V1PersistentVolumeClaim>(resources.persistentVolumeClaims, `a/${name}`);
const removeClaim = (name: string) => plane.api.delete(resources.persistentVolumeClaims, { namespace: 'a', name });

test('binds a claim to the smallest volume that does, both ways, once', async () => {
  await addVolume(volume('big', '10Gi'));
  await addVolume(volume('small', '2Gi'));
  await addVolume(volume('tiny', '500Mi'));
  await addVolume(volume('other', '1Gi', { storageClassName: 'fast' }));
  await addClaim(claim('c', '1Gi'));
  await plane.settle();
  expect(volumeOf('small')).toMatchObject({
    spec: { claimRef: { kind: 'PersistentVolumeClaim', namespace: 'a', name: 'c', uid: claimOf('c')!.metadata!.uid } },
    status: { phase: 'Bound' },
    metadata: { annotations: { 'pv.kubernetes.io/bound-by-controller': 'yes' } },
  });
  expect(claimOf('c')).toMatchObject({
    spec: { volumeName: 'small' },
    status: { phase: 'Bound', accessModes: ['ReadWriteOnce'], capacity: { storage: '2Gi' } },
    metadata: {
      annotations: { 'pv.kubernetes.io/bind-completed': 'yes', 'pv.kubernetes.io/bound-by-controller': 'yes' },
    },
  });
  expect(volumeOf('big')!.status?.phase).toBe('Available');
  const writes = plane.api.writes.length;
  await plane.clock.advance(60_000);
  expect(plane.api.writes).toHaveLength(writes);
});

test('two claims at once get two volumes; a third waits and says why until one comes', async () => {
  await addVolume(volume('v1', '1Gi'));
  await addVolume(volume('v2', '1Gi'));
  for (const name of ['c1', 'c2', 'c3']) await addClaim(claim(name, '1Gi'));
  await plane.settle();
  const names = ['c1', 'c2', 'c3'].map((name) => claimOf(name)!.spec?.volumeName);
  expect(new Set(names)).toEqual(new Set(['v1', 'v2', undefined]));
  const waiting = ['c1', 'c2', 'c3'].find((name) => !claimOf(name)!.spec?.volumeName)!;
  expect(claimOf(waiting)!.status?.phase).toBe('Pending');
  expect(plane.events()).toContain(
    'FailedBinding: no persistent volumes available for this claim and no storage class is set',
  );
  await addVolume(volume('v3', '1Gi'));
  await plane.settle();
  expect(claimOf(waiting)).toMatchObject({ spec: { volumeName: 'v3' }, status: { phase: 'Bound' } });
});

test('selectors, modes and reservations are kept', async () => {
  await addVolume({ ...volume('plain', '1Gi') });
  await addVolume({ ...volume('labelled', '5Gi'), metadata: { name: 'labelled', labels: { disk: 'ssd' } } });
  await addVolume(volume('reserved', '9Gi', { claimRef: { namespace: 'a', name: 'mine' } }));
  await addVolume(volume('shared', '7Gi', { accessModes: ['ReadWriteMany'] }));
  await addClaim(claim('mine', '1Gi'));
  await addClaim(claim('ssd', '1Gi', { selector: { matchLabels: { disk: 'ssd' } } }));
  await addClaim(claim('many', '1Gi', { accessModes: ['ReadWriteMany'] }));
  await addClaim(claim('named', '1Gi', { volumeName: 'reserved' }));
  await plane.settle();
  expect(claimOf('mine')!.spec?.volumeName).toBe('reserved');
  expect(claimOf('ssd')!.spec?.volumeName).toBe('labelled');
  expect(claimOf('many')!.spec?.volumeName).toBe('shared');
  expect(claimOf('named')!.status?.phase).toBe('Pending');
  expect(plane.events()).toContain('FailedBinding: volume "reserved" already bound to a different claim.');
});

test('a volume whose claim is gone is Released and given to nobody, also not to a claim of the same name', async () => {
  await addVolume(volume('v', '1Gi'));
  await addClaim(claim('c', '1Gi'));
  await plane.settle();
  await removeClaim('c');
  await plane.settle();
  expect(claimOf('c')).toBeUndefined();
  expect(volumeOf('v')!.status?.phase).toBe('Released');
  await addClaim(claim('c', '1Gi'));
  await plane.settle();
  expect(claimOf('c')!.status?.phase).toBe('Pending');
  expect(volumeOf('v')!.status?.phase).toBe('Released');
});

test('policy Delete without anybody who can delete is a failure that shows', async () => {
  await addVolume(volume('v', '1Gi', { persistentVolumeReclaimPolicy: 'Delete' }));
  await addClaim(claim('c', '1Gi'));
  await plane.settle();
  await removeClaim('c');
  await plane.settle();
  expect(volumeOf('v')!.status).toMatchObject({ phase: 'Failed', message: 'no deletable volume plugin matched' });
});

test('a claim whose volume is gone is Lost', async () => {
  await addVolume(volume('v', '1Gi'));
  await addClaim(claim('c', '1Gi'));
  await plane.settle();
  await plane.api.delete(resources.persistentVolumes, { name: 'v' });
  await plane.settle();
  expect(claimOf('c')!.status?.phase).toBe('Bound');
  // Somebody takes the protection off by hand.
  await plane.api.patch(resources.persistentVolumes, { name: 'v' }, 'merge', { metadata: { finalizers: null } });
  await plane.settle();
  expect(volumeOf('v')).toBeUndefined();
  expect(claimOf('c')!.status?.phase).toBe('Lost');
  expect(plane.events().some((event) => event.startsWith('ClaimLost: '))).toBe(true);
});

test('a claim that a pod uses stays until the pod is gone, a bound volume until its claim is', async () => {
  await addVolume(volume('v', '1Gi'));
  await addClaim(claim('c', '1Gi'));
  await plane.settle();
  expect(claimOf('c')!.metadata?.finalizers).toEqual(['kubernetes.io/pvc-protection']);
  await plane.api.create(resources.pods, {
    metadata: { name: 'p', namespace: 'a' },
    spec: {
      nodeName: 'n',
      containers: [],
      volumes: [{ name: 'd', persistentVolumeClaim: { claimName: 'c' } }],
    },
  } as never);
  await plane.settle();
  await removeClaim('c');
  await plane.api.delete(resources.persistentVolumes, { name: 'v' });
  await plane.settle();
  expect(claimOf('c')!.metadata?.deletionTimestamp).toBeDefined();
  expect(volumeOf('v')!.metadata?.deletionTimestamp).toBeDefined();
  await plane.api.delete(resources.pods, { namespace: 'a', name: 'p' }, { gracePeriodSeconds: 0 });
  await plane.settle();
  expect(claimOf('c')).toBeUndefined();
  expect(volumeOf('v')).toBeUndefined();
});
