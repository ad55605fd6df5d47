import {
  addQuantity,
  compareQuantity,
  formatQuantity,
  quantityMilliValue,
  type V1Container,
  type V1LimitRange,
  type V1LimitRangeItem,
  type V1PersistentVolumeClaim,
  type V1Pod,
} from '@wherry/api';
import type { AdmissionPlugin, AdmissionReader, AdmissionRequest } from './contract.ts';
import { isPod, refuse, resources } from './refuse.ts';

const annotation = 'kubernetes.io/limit-ranger';
type Amounts = Readonly<Record<string, string>>;

function itemsOf(request: AdmissionRequest, reader: AdmissionReader): V1LimitRangeItem[] {
  const ranges = reader.list(resources.limitRanges, request.namespace) as readonly V1LimitRange[];
  return ranges.flatMap((range) => range.spec?.limits ?? []);
}

/** Fills one container in; tells what was set, in words. */
function fill(container: V1Container, item: V1LimitRangeItem, what: string): string[] {
  const set: string[] = [];
  container.resources ??= {};
  for (const [side, defaults] of [
    ['limits', item.default],
    ['requests', item.defaultRequest],
  ] as const) {
    const names: string[] = [];
    for (const [name, amount] of Object.entries(defaults ?? {})) {
      container.resources[side] ??= {};
      const amounts = container.resources[side];
      if (amounts[name] !== undefined) continue;
      amounts[name] = amount;
      names.push(name);
    }
    if (names.length > 0)
      set.push(`${names.sort().join(', ')} ${side === 'limits' ? 'limit' : 'request'} for ${what} ${container.name}`);
  }
  return set;
}

function minimum(item: V1LimitRangeItem, requests: Amounts, limits: Amounts): string[] {
  return Object.entries(item.min ?? {}).flatMap(([name, least]) => {
    const head = `minimum ${name} usage per ${item.type} is ${least}`;
    const [request, limit] = [requests[name], limits[name]];
    if (request === undefined) return [`${head}.  No request is specified`];
    if (compareQuantity(request, least) < 0) return [`${head}, but request is ${request}`];
    return limit !== undefined && compareQuantity(limit, least) < 0 ? [`${head}, but limit is ${limit}`] : [];
  });
}

function maximum(item: V1LimitRangeItem, requests: Amounts, limits: Amounts): string[] {
  return Object.entries(item.max ?? {}).flatMap(([name, most]) => {
    const head = `maximum ${name} usage per ${item.type} is ${most}`;
    const [request, limit] = [requests[name], limits[name]];
    if (limit === undefined) return item.type === 'PersistentVolumeClaim' ? [] : [`${head}.  No limit is specified`];
    if (compareQuantity(limit, most) > 0) return [`${head}, but limit is ${limit}`];
    return request !== undefined && compareQuantity(request, most) > 0 ? [`${head}, but request is ${request}`] : [];
  });
}

function ratio(item: V1LimitRangeItem, requests: Amounts, limits: Amounts): string[] {
  return Object.entries(item.maxLimitRequestRatio ?? {}).flatMap(([name, most]) => {
    const head = `${name} max limit to request ratio per ${item.type} is ${most}`;
    const [request, limit] = [requests[name], limits[name]];
    if (request === undefined || quantityMilliValue(request) === 0)
      return [`${head}, but no request is specified or request is 0`];
    if (limit === undefined || quantityMilliValue(limit) === 0)
      return [`${head}, but no limit is specified or limit is 0`];
    const is = quantityMilliValue(limit) / quantityMilliValue(request);
    return is > quantityMilliValue(most) / 1000 ? [`${head}, but provided ratio is ${is.toFixed(6)}`] : [];
  });
}

function problems(item: V1LimitRangeItem, requests: Amounts, limits: Amounts): string[] {
  return [...minimum(item, requests, limits), ...maximum(item, requests, limits), ...ratio(item, requests, limits)];
}

function sum(pod: V1Pod, side: 'requests' | 'limits'): Amounts {
  const total: Record<string, string> = {};
  const lacking = new Set<string>();
  const containers = pod.spec!.containers;
  const names = new Set(containers.flatMap((container) => Object.keys(container.resources?.[side] ?? {})));
  for (const name of names) {
    for (const container of containers) {
      const amount = container.resources?.[side]?.[name];
      if (amount === undefined) lacking.add(name);
      else total[name] = formatQuantity(addQuantity(total[name] ?? '0', amount));
    }
  }
  // The pod as a whole is bounded only if each of its containers is.
  if (side === 'limits') for (const name of lacking) delete total[name];
  return total;
}

function podProblems(pod: V1Pod, items: readonly V1LimitRangeItem[]): string[] {
  return items.flatMap((item) => {
    if (item.type === 'Pod') return problems(item, sum(pod, 'requests'), sum(pod, 'limits'));
    if (item.type !== 'Container') return [];
    return [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])].flatMap((container) =>
      problems(item, container.resources?.requests ?? {}, container.resources?.limits ?? {}),
    );
  });
}

/** Gives containers the limits of their namespace, and holds pods and claims to them. */
export const limitRanger: AdmissionPlugin = {
  name: 'LimitRanger',
  admit(request, reader) {
    if (!isPod(request, 'CREATE') || !request.object) return;
    const pod = request.object as unknown as V1Pod;
    const set: string[] = [];
    for (const item of itemsOf(request, reader)) {
      if (item.type !== 'Container') continue;
      for (const container of pod.spec!.containers) set.push(...fill(container, item, 'container'));
      for (const container of pod.spec!.initContainers ?? []) set.push(...fill(container, item, 'init container'));
    }
    if (set.length === 0) return;
    pod.metadata ??= {};
    pod.metadata.annotations = {
      ...pod.metadata.annotations,
      [annotation]: `LimitRanger plugin set: ${set.join('; ')}`,
    };
  },
  validate(request, reader) {
    if (!request.object || request.subresource !== '') return;
    let found: string[] = [];
    if (isPod(request, 'CREATE')) found = podProblems(request.object as unknown as V1Pod, itemsOf(request, reader));
    else if (request.kind.group === '' && request.kind.resource === 'persistentvolumeclaims') {
      const requests = (request.object as V1PersistentVolumeClaim).spec?.resources?.requests ?? {};
      found = itemsOf(request, reader)
        .filter((item) => item.type === 'PersistentVolumeClaim')
        .flatMap((item) => problems({ type: item.type, min: item.min, max: item.max }, requests, requests));
    }
    if (found.length > 0) throw refuse(request, found.length === 1 ? found[0]! : `[${found.join(', ')}]`);
  },
};
