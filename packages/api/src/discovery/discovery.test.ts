import { describe, expect, it } from 'vitest';
import type { KindDeclaration } from '../kind.ts';
import {
  aggregatedCoreDiscovery,
  aggregatedGroupDiscovery,
  compareVersions,
  coreVersions,
  groupDocument,
  groupList,
  resourceList,
} from './discovery.ts';

const pod: KindDeclaration = {
  group: '',
  version: 'v1',
  kind: 'Pod',
  resource: 'pods',
  singular: 'pod',
  shortNames: ['po'],
  categories: ['all'],
  namespaced: true,
  schema: 'V1Pod',
  subresources: {
    status: true,
    others: [{ name: 'eviction', kind: 'Eviction', group: 'policy', version: 'v1', verbs: ['create'] }],
  },
};
const autoscaler = (version: string): KindDeclaration => ({
  group: 'autoscaling',
  version,
  kind: 'HorizontalPodAutoscaler',
  resource: 'horizontalpodautoscalers',
  singular: 'horizontalpodautoscaler',
  namespaced: true,
  schema: `V${version.slice(1)}HorizontalPodAutoscaler`,
  verbs: ['list', 'get'],
});
const kinds = [autoscaler('v1'), pod, autoscaler('v2')];

describe('discovery', () => {
  it('orders versions as Kubernetes does', () => {
    const versions = ['foo10', 'v1alpha1', 'v1', 'v10', 'v2', 'v2beta1', 'v11beta2', 'foo1'];
    expect(versions.sort(compareVersions)).toEqual([
      'v10',
      'v2',
      'v1',
      'v11beta2',
      'v2beta1',
      'v1alpha1',
      'foo1',
      'foo10',
    ]);
  });

  it('aggregates the core group', () => {
    expect(aggregatedCoreDiscovery(kinds)).toEqual({
      kind: 'APIGroupDiscoveryList',
      apiVersion: 'apidiscovery.k8s.io/v2',
      metadata: {},
      items: [
        {
          metadata: {},
          versions: [
            {
              version: 'v1',
              freshness: 'Current',
              resources: [
                {
                  resource: 'pods',
                  responseKind: { group: '', version: '', kind: 'Pod' },
                  scope: 'Namespaced',
                  singularResource: 'pod',
                  shortNames: ['po'],
                  categories: ['all'],
                  verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
                  subresources: [
                    {
                      subresource: 'eviction',
                      responseKind: { group: 'policy', version: 'v1', kind: 'Eviction' },
                      verbs: ['create'],
                    },
                    {
                      subresource: 'status',
                      responseKind: { group: '', version: '', kind: 'Pod' },
                      verbs: ['get', 'patch', 'update'],
                    },
                  ],
                },
              ],
            },
          ],
        },
      ],
    });
  });

  it('prefers the newest version of a group', () => {
    const group = {
      name: 'autoscaling',
      versions: [
        { groupVersion: 'autoscaling/v2', version: 'v2' },
        { groupVersion: 'autoscaling/v1', version: 'v1' },
      ],
      preferredVersion: { groupVersion: 'autoscaling/v2', version: 'v2' },
    };
    expect(groupList(kinds)).toEqual({ kind: 'APIGroupList', apiVersion: 'v1', groups: [group] });
    expect(groupDocument(kinds, 'autoscaling')).toEqual({ kind: 'APIGroup', apiVersion: 'v1', ...group });
    expect(groupDocument(kinds, 'none')).toBe(undefined);
    const items = aggregatedGroupDiscovery(kinds).items as { metadata: unknown; versions: { version: string }[] }[];
    expect(items.map((i) => [i.metadata, i.versions.map((v) => v.version)])).toEqual([
      [{ name: 'autoscaling' }, ['v2', 'v1']],
    ]);
  });

  it('lists resources with their subresources', () => {
    const list = resourceList(kinds, '', 'v1') as { resources: { name: string; group?: string }[] };
    expect(list.resources.map((r) => [r.name, r.group])).toEqual([
      ['pods', undefined],
      ['pods/eviction', 'policy'],
      ['pods/status', undefined],
    ]);
    expect(resourceList(kinds, 'autoscaling', 'v2')).toMatchObject({
      groupVersion: 'autoscaling/v2',
      resources: [{ verbs: ['get', 'list'] }],
    });
    expect(resourceList(kinds, 'autoscaling', 'v3')).toBe(undefined);
    expect(coreVersions(kinds, '10.0.0.1:6443')).toMatchObject({ versions: ['v1'] });
  });
});
