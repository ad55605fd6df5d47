import {
  type ApiObject,
  addAmounts,
  canonicalQuantity,
  quotaCounts,
  quotaUsageOf,
  type V1ResourceQuota,
} from '@wherry/api';

/** A resource by group and plural name, as quotas count it. */
export interface CountedResource {
  readonly group: string;
  readonly resource: string;
}

const claimed = /(?:^|\.storageclass\.storage\.k8s\.io\/)(?:requests\.storage|persistentvolumeclaims)$/;
const plain = new Set(['configmaps', 'secrets', 'replicationcontrollers', 'resourcequotas']);

/** The resource that a name of a quota's `hard` counts; compute amounts and all that is unknown are of pods. */
export function countedBy(name: string): CountedResource {
  if (name.startsWith('count/')) {
    const [resource = '', ...group] = name.slice('count/'.length).split('.');
    return { group: group.join('.'), resource };
  }
  if (claimed.test(name)) return { group: '', resource: 'persistentvolumeclaims' };
  if (name === 'services' || name.startsWith('services.')) return { group: '', resource: 'services' };
  return { group: '', resource: plain.has(name) ? name : 'pods' };
}

/** How much of each limit of a quota is used up. `objectsOf` gives the objects of the quota's namespace. Pure. */
export function usedOf(
  quota: V1ResourceQuota,
  objectsOf: (counted: CountedResource) => readonly ApiObject[],
): Record<string, string> {
  const names = Object.keys(quota.spec?.hard ?? {});
  const counted = new Map(names.map((name) => [`${countedBy(name).group}/${countedBy(name).resource}`, name]));
  const total: Record<string, string> = {};
  for (const name of counted.values()) {
    const of = countedBy(name);
    for (const object of objectsOf(of)) if (quotaCounts(quota, of, object)) addAmounts(total, quotaUsageOf(of, object));
  }
  return Object.fromEntries(names.map((name) => [name, canonicalQuantity(total[name] ?? '0')]));
}
