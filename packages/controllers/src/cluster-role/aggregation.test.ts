import type { V1ClusterRole, V1PolicyRule } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { clusterRoleAggregationController } from './aggregation.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [clusterRoleAggregationController(context)], { kubelet: false });
});
afterEach(() => plane[Symbol.asyncDispose]());

const rule = (resource: string): V1PolicyRule => ({ apiGroups: [''], resources: [resource], verbs: ['get'] });
const part = (name: string, to: string, rules: V1PolicyRule[]): V1ClusterRole => ({
  metadata: { name, labels: { to } },
  rules,
});
const sum = (name: string, from: string, labels = {}): V1ClusterRole => ({
  metadata: { name, labels },
  aggregationRule: { clusterRoleSelectors: [{ matchLabels: { to: from } }] },
});
const rules = (name: string): readonly V1PolicyRule[] | undefined =>
  plane.api.peek<V1ClusterRole>(resources.clusterRoles, name)?.rules;

test('a role gets the rules of those it selects, by name and each once, through several steps', async () => {
  const { api } = plane;
  await api.create(resources.clusterRoles, sum('admin', 'admin'));
  await api.create(resources.clusterRoles, sum('view', 'view', { to: 'admin' }));
  await api.create(resources.clusterRoles, part('z', 'view', [rule('pods'), rule('nodes')]));
  await api.create(resources.clusterRoles, part('b', 'view', [rule('secrets'), rule('pods')]));
  await plane.settle();
  expect(rules('view')).toEqual([rule('secrets'), rule('pods'), rule('nodes')]);
  expect(rules('admin')).toEqual(rules('view'));
  await api.delete(resources.clusterRoles, { name: 'b' });
  await plane.settle();
  expect(rules('admin')).toEqual([rule('pods'), rule('nodes')]);
  const writes = api.writes.length;
  await api.create(resources.clusterRoles, part('unrelated', 'nothing', [rule('x')]));
  await plane.settle();
  expect(api.writes).toHaveLength(writes + 1);
});
