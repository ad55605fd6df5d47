import {
  type ApiObject,
  addAmounts,
  compareQuantity,
  formatQuantity,
  parseQuantity,
  quotaCounts,
  quotaUsageOf,
  subtractQuantity,
  type V1Pod,
  type V1ResourceQuota,
} from '@wherry/api';
import type { AdmissionPlugin, AdmissionReader, AdmissionRequest } from './contract.ts';
import { refuse, resources } from './refuse.ts';

type Amounts = Record<string, string>;

function text(amounts: Readonly<Amounts>, names: readonly string[]): string {
  return names.map((name) => `${name}=${amounts[name] ?? '0'}`).join(',');
}

/** What the namespace already uses of the kind at hand; other kinds cannot be exceeded by this request. */
function used(request: AdmissionRequest, quota: V1ResourceQuota, reader: AdmissionReader): Amounts {
  const total: Amounts = {};
  for (const object of reader.list(request.kind, request.namespace)) {
    if (object.metadata?.name === request.object?.metadata?.name && request.operation === 'UPDATE') continue;
    if (quotaCounts(quota, request.kind, object)) addAmounts(total, quotaUsageOf(request.kind, object));
  }
  return total;
}

/** Compute resources under quota must be given by every container, or nobody could count them. */
function unstated(pod: V1Pod, hard: Readonly<Amounts>): Map<string, string[]> {
  const missing = new Map<string, string[]>();
  for (const name of Object.keys(hard).sort()) {
    const match = /^(?:(requests|limits)\.)?(cpu|memory)$/.exec(name);
    if (!match) continue;
    const side = match[1] === 'limits' ? 'limits' : 'requests';
    if (pod.spec?.resources?.[side]?.[match[2]!] !== undefined) continue;
    const lacking = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
      .filter((container) => container.resources?.[side]?.[match[2]!] === undefined)
      .map((container) => container.name);
    if (lacking.length > 0) missing.set(name, lacking);
  }
  return missing;
}

/** What an update adds; nothing for what it gives back. */
function delta(now: Amounts, before: Amounts): Amounts {
  const more: Amounts = {};
  for (const [name, amount] of Object.entries(now)) {
    const old = before[name] ?? '0';
    if (compareQuantity(amount, old) > 0) more[name] = formatQuantity(subtractQuantity(amount, old));
  }
  return more;
}

function check(request: AdmissionRequest, quota: V1ResourceQuota, object: ApiObject, reader: AdmissionReader): void {
  const hard = quota.spec?.hard ?? {};
  const name = quota.metadata?.name ?? '';
  const own = quotaUsageOf(request.kind, object);
  if (request.kind.resource === 'pods' && request.kind.group === '') {
    const missing = unstated(object as unknown as V1Pod, hard);
    if (missing.size > 0) {
      const words = [...missing].map(([resource, names]) => `${resource} for: ${names.join(',')}`).join('; ');
      throw refuse(request, `failed quota: ${name}: must specify ${words}`);
    }
  }
  const before = request.oldObject ? quotaUsageOf(request.kind, request.oldObject) : {};
  const more = delta(own, before);
  const names = Object.keys(hard)
    .filter((key) => more[key] !== undefined)
    .sort();
  if (names.length === 0) return;
  const total = used(request, quota, reader);
  if (request.operation === 'UPDATE') addAmounts(total, before);
  const over = names.filter((key) => {
    const sum = { [key]: total[key] ?? '0' };
    addAmounts(sum, { [key]: more[key]! });
    return compareQuantity(parseQuantity(sum[key]!), hard[key]!) > 0 && compareQuantity(more[key]!, '0') > 0;
  });
  if (over.length === 0) return;
  const parts = `requested: ${text(more, over)}, used: ${text(total, over)}, limited: ${text(hard, over)}`;
  throw refuse(request, `exceeded quota: ${name}, ${parts}`);
}

/** Keeps namespaces within their quotas, counting what is there at the moment of the request. */
export const resourceQuota: AdmissionPlugin = {
  name: 'ResourceQuota',
  validate(request, reader) {
    const { operation, kind, namespace, object } = request;
    if (!object || !kind.namespaced || namespace === '' || request.subresource !== '') return;
    if (operation !== 'CREATE' && operation !== 'UPDATE') return;
    // Events are many and short-lived: upstream leaves them out, too.
    if (kind.resource === 'events') return;
    const quotas = reader.list(resources.quotas, namespace) as readonly V1ResourceQuota[];
    for (const quota of quotas) if (quotaCounts(quota, kind, object)) check(request, quota, object, reader);
  },
};
