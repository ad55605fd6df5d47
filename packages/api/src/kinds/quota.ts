import type { V1PersistentVolumeClaim, V1Pod, V1ResourceQuota, V1Service } from '../../generated/types.ts';
import type { ApiObject } from '../kind.ts';
import { addQuantity, compareQuantity, formatQuantity } from '../quantity.ts';
import { qosClassOf } from './pod/qos.ts';

type Amounts = Record<string, string>;

/** Core kinds that have a short name of their own in quotas besides `count/…`. */
const legacyCounts = new Set([
  'configmaps',
  'persistentvolumeclaims',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'services',
]);

/** Adds amounts to a total. Changes `total`. */
export function addAmounts(total: Amounts, more: Readonly<Amounts>): void {
  for (const [name, amount] of Object.entries(more)) {
    total[name] = total[name] === undefined ? amount : formatQuantity(addQuantity(total[name], amount));
  }
}

function largest(a: string | undefined, b: string): string {
  return a !== undefined && compareQuantity(a, b) >= 0 ? a : b;
}

/**
 * What a pod asks for, one side of its resources: the sum of what runs together, or the most that
 * an init container needs beside the sidecars started before it (KEP-753), and the overhead.
 */
export function podResources(pod: V1Pod, side: 'requests' | 'limits'): Amounts {
  const spec = pod.spec ?? { containers: [] };
  const total: Amounts = {};
  for (const container of spec.containers ?? []) addAmounts(total, container.resources?.[side] ?? {});
  const sidecars: Amounts = {};
  const peak: Amounts = {};
  for (const container of spec.initContainers ?? []) {
    const own = container.resources?.[side] ?? {};
    const during: Amounts = { ...sidecars };
    addAmounts(during, own);
    for (const [name, amount] of Object.entries(during)) peak[name] = largest(peak[name], amount);
    if (container.restartPolicy === 'Always') addAmounts(sidecars, own);
  }
  addAmounts(total, sidecars);
  for (const [name, amount] of Object.entries(peak)) total[name] = largest(total[name], amount);
  for (const [name, amount] of Object.entries(spec.resources?.[side] ?? {})) total[name] = amount;
  if (side === 'requests' || Object.keys(total).length > 0) addAmounts(total, spec.overhead ?? {});
  return total;
}

function podUsage(pod: V1Pod): Amounts {
  const usage: Amounts = { 'count/pods': '1' };
  if (pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') return usage;
  usage.pods = '1';
  for (const [name, amount] of Object.entries(podResources(pod, 'requests'))) {
    usage[`requests.${name}`] = amount;
    if (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage' || name.startsWith('hugepages-')) {
      usage[name] = amount;
    }
  }
  for (const [name, amount] of Object.entries(podResources(pod, 'limits'))) usage[`limits.${name}`] = amount;
  return usage;
}

function serviceUsage(service: V1Service): Amounts {
  const { type = 'ClusterIP', ports = [], allocateLoadBalancerNodePorts = true } = service.spec ?? {};
  const balanced = type === 'LoadBalancer';
  const nodePorts = type === 'NodePort' || (balanced && allocateLoadBalancerNodePorts) ? ports.length : 0;
  return { 'services.nodeports': String(nodePorts), 'services.loadbalancers': balanced ? '1' : '0' };
}

function claimUsage(claim: V1PersistentVolumeClaim): Amounts {
  const storage = claim.spec?.resources?.requests?.storage ?? '0';
  const usage: Amounts = { 'requests.storage': storage };
  const name = claim.spec?.storageClassName;
  if (name) {
    usage[`${name}.storageclass.storage.k8s.io/requests.storage`] = storage;
    usage[`${name}.storageclass.storage.k8s.io/persistentvolumeclaims`] = '1';
  }
  return usage;
}

/** Everything that one object uses up of a quota, by the names that quotas use. */
export function quotaUsageOf(of: { readonly group: string; readonly resource: string }, object: ApiObject): Amounts {
  if (of.group === '' && of.resource === 'pods') return podUsage(object as unknown as V1Pod);
  const qualified = of.group === '' ? of.resource : `${of.resource}.${of.group}`;
  const usage: Amounts = { [`count/${qualified}`]: '1' };
  if (of.group !== '') return usage;
  if (legacyCounts.has(of.resource)) usage[of.resource] = '1';
  if (of.resource === 'services') Object.assign(usage, serviceUsage(object as unknown as V1Service));
  if (of.resource === 'persistentvolumeclaims') {
    Object.assign(usage, claimUsage(object as unknown as V1PersistentVolumeClaim));
  }
  return usage;
}

function scopeHolds(scope: string, operator: string, values: readonly string[], pod: V1Pod): boolean {
  switch (scope) {
    case 'BestEffort':
      return qosClassOf(pod.spec!) === 'BestEffort';
    case 'NotBestEffort':
      return qosClassOf(pod.spec!) !== 'BestEffort';
    case 'Terminating':
      return pod.spec?.activeDeadlineSeconds !== undefined;
    case 'NotTerminating':
      return pod.spec?.activeDeadlineSeconds === undefined;
    case 'PriorityClass': {
      const name = pod.spec?.priorityClassName ?? '';
      if (operator === 'In') return values.includes(name);
      if (operator === 'NotIn') return !values.includes(name);
      return (name !== '') === (operator === 'Exists');
    }
    default:
      return false;
  }
}

/** Whether a quota counts an object; scopes speak of pods only. */
export function quotaCounts(
  quota: V1ResourceQuota,
  of: { readonly group: string; readonly resource: string },
  object: ApiObject,
): boolean {
  const scopes = [
    ...(quota.spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists', values: [] as string[] })),
    ...(quota.spec?.scopeSelector?.matchExpressions ?? []),
  ];
  if (scopes.length === 0) return true;
  if (of.group !== '' || of.resource !== 'pods') return false;
  return scopes.every((s) => scopeHolds(s.scopeName, s.operator, s.values ?? [], object as unknown as V1Pod));
}
