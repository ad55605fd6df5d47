import { WherryError } from '@wherry/base';
import type { Filters } from '@wherry/docker';
import type { NetworkRecord } from '@wherry/network';
import { booleanFilter, checkFilters, matchesLabels, matchesText } from '../http/filters.ts';
import { scopeOf } from './network-resource.ts';

const known = ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'];

/** Networks that the filters of `GET /networks` leave. Throws `invalid`. */
export function selectNetworks(
  networks: readonly NetworkRecord[],
  filters: Filters,
  isUsed: (network: NetworkRecord) => boolean,
): readonly NetworkRecord[] {
  checkFilters(filters, known);
  const dangling = danglingOf(filters);
  const types = filters.get('type') ?? [];
  for (const type of types) {
    if (type !== 'custom' && type !== 'builtin') throw new WherryError('invalid', `invalid filter: 'type'='${type}'`);
  }
  return networks.filter(
    (network) =>
      (filters.get('driver')?.includes(network.driver) ?? true) &&
      (filters.get('scope')?.includes(scopeOf(network)) ?? true) &&
      matchesText(filters.get('name'), network.name) &&
      matchesText(filters.get('id'), network.id) &&
      matchesLabels(network.labels, filters.get('label')) &&
      (types.length === 0 || types.includes(network.predefined ? 'builtin' : 'custom')) &&
      (dangling === undefined || isDangling(network, isUsed) === dangling),
  );
}

/** Those that nobody is in; dockerd keeps its own and counts them as used. */
function isDangling(network: NetworkRecord, isUsed: (network: NetworkRecord) => boolean): boolean {
  return !network.predefined && !isUsed(network);
}

/** `dangling`, whose other values are refused in words of their own. */
function danglingOf(filters: Filters): boolean | undefined {
  const values = filters.get('dangling') ?? [];
  if (values.length > 1) throw new WherryError('invalid', 'got more than one value for filter key "dangling"');
  if (values.length === 1 && !/^(?:0|1|true|false)$/.test(values[0]!)) {
    const choice = 'must be "true" (or "1"), or "false" (or "0")';
    throw new WherryError('invalid', `invalid value for filter 'dangling', ${choice}`);
  }
  return booleanFilter(filters, 'dangling');
}
