import type { V1ConfigMap, V1OwnerReference } from '@wherry/api';
import { type KubeObject, resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { garbageCollector } from './garbage-collector.ts';
import { judge } from './plan.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [
    garbageCollector(context, () => [
      { ...resources.configMaps, kind: 'ConfigMap' },
      { ...resources.secrets, kind: 'Secret' },
    ]),
  ]);
});
afterEach(() => plane[Symbol.asyncDispose]());

const reference = (owner: KubeObject, blockOwnerDeletion = true): V1OwnerReference => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  name: owner.metadata!.name!,
  uid: owner.metadata!.uid!,
  blockOwnerDeletion,
});
const make = (name: string, ...owners: V1OwnerReference[]): Promise<V1ConfigMap> =>
  plane.api.create<V1ConfigMap>(resources.configMaps, { metadata: { name, namespace: 'a', ownerReferences: owners } });
const names = (): string[] => plane.api.all(resources.configMaps).map((object) => object.metadata!.name!);

test('background: what was owned goes after its owner, over several levels', async () => {
  const top = await make('top');
  const middle = await make('middle', reference(top));
  await make('bottom', reference(middle));
  await make('other');
  await plane.settle();
  await plane.api.delete(resources.configMaps, { namespace: 'a', name: 'top' });
  await plane.settle();
  expect(names()).toEqual(['other']);
});

test('foreground: the owner goes last', async () => {
  const top = await make('top');
  const middle = await make('middle', reference(top));
  await make('bottom', reference(middle));
  await plane.settle();
  const order: string[] = [];
  plane.informers.informer(resources.configMaps).onChange(({ type, object }) => {
    if (type === 'deleted') order.push(object.metadata!.name!);
  });
  await plane.api.delete(resources.configMaps, { namespace: 'a', name: 'top' }, { propagationPolicy: 'Foreground' });
  await plane.clock.advance(1000);
  expect(order).toEqual(['bottom', 'middle', 'top']);
});

test('orphan: dependents stay and lose the reference', async () => {
  const top = await make('top');
  await make('below', reference(top));
  await plane.settle();
  await plane.api.delete(resources.configMaps, { namespace: 'a', name: 'top' }, { propagationPolicy: 'Orphan' });
  await plane.settle();
  expect(names()).toEqual(['below']);
  expect(plane.api.peek(resources.configMaps, 'a/below')?.metadata?.ownerReferences).toEqual([]);
});

test('an owner of the same name but another uid is no owner; an unknown kind is not judged', async () => {
  const top = await make('top');
  await make('stale', { ...reference(top), uid: 'gone' });
  await make('foreign', { apiVersion: 'x.example/v1', kind: 'Thing', name: 't', uid: 'u' });
  await plane.settle();
  expect(names()).toEqual(['top', 'foreign']);
});

test('one of two owners goes: the object stays with the other', async () => {
  const [one, two] = [await make('one'), await make('two')];
  await make('shared', reference(one), reference(two));
  await plane.settle();
  await plane.api.delete(resources.configMaps, { namespace: 'a', name: 'one' });
  await plane.settle();
  const shared = plane.api.peek(resources.configMaps, 'a/shared');
  expect(shared?.metadata?.ownerReferences?.map(({ name }) => name)).toEqual(['two']);
});

test('verdicts', () => {
  const owner = (state: 'solid' | 'absent' | 'waiting') => ({
    reference: { apiVersion: 'v1', kind: 'X', name: state, uid: state },
    state,
  });
  const plain = { hasDependents: true, finalizers: [] };
  expect(judge([], plain)).toEqual({ action: 'keep' });
  expect(judge([owner('solid'), owner('absent')], plain)).toEqual({ action: 'unlink', uids: ['absent'] });
  expect(judge([owner('waiting')], plain)).toEqual({ action: 'delete', policy: 'Foreground' });
  expect(judge([owner('waiting')], { ...plain, hasDependents: false })).toEqual({
    action: 'delete',
    policy: 'Background',
  });
  expect(judge([owner('absent')], { ...plain, finalizers: ['orphan'] })).toEqual({
    action: 'delete',
    policy: 'Orphan',
  });
});
