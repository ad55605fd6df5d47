import type { V1PodSpec, V1ResourceRequirements } from '../../../generated/types.ts';
import { addQuantity, compareQuantity, type Quantity } from '../../quantity.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';
type Totals = Map<string, Quantity | string>;

const counted = ['cpu', 'memory'] as const;

function positive(amount: string | undefined): amount is string {
  return amount !== undefined && compareQuantity(amount, '0') > 0;
}

function add(totals: Totals, name: string, amount: string): void {
  const known = totals.get(name);
  totals.set(name, known === undefined ? amount : addQuantity(known as Quantity, amount));
}

/** Adds one set of resources; tells whether it limits both CPU and memory. */
function collect(resources: V1ResourceRequirements | undefined, requests: Totals, limits: Totals): boolean {
  let both = true;
  for (const name of counted) {
    const request = resources?.requests?.[name];
    if (positive(request)) add(requests, name, request);
    const limit = resources?.limits?.[name];
    if (positive(limit)) add(limits, name, limit);
    else both = false;
  }
  return both;
}

/**
 * The quality-of-service class from requests and limits of CPU and memory; resources of the pod as
 * a whole (KEP-2837) take the place of those of its containers.
 */
export function qosClassOf(spec: V1PodSpec): QosClass {
  const requests: Totals = new Map();
  const limits: Totals = new Map();
  const wholePod = spec.resources?.requests ?? spec.resources?.limits;
  const parts = wholePod
    ? [spec.resources]
    : [...(spec.initContainers ?? []), ...(spec.containers ?? [])].map((c) => c.resources);
  let allLimited = true;
  for (const part of parts) if (!collect(part, requests, limits)) allLimited = false;
  if (requests.size === 0 && limits.size === 0) return 'BestEffort';
  const equal =
    requests.size === limits.size &&
    [...requests].every(([name, amount]) => {
      const limit = limits.get(name);
      return limit !== undefined && compareQuantity(limit as Quantity, amount as Quantity) === 0;
    });
  return allLimited && equal ? 'Guaranteed' : 'Burstable';
}
