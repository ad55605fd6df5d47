import { quantityMilliValue, quantityValue, type V1Container, type V1Pod } from '@wherry/api';

/** Amounts by resource name: `cpu` in thousandths of a core, everything else in whole units. */
export type Amounts = ReadonlyMap<string, number>;

/** What a pod without requests is taken to need when nodes are compared (upstream's non-zero defaults). */
const usualCpu = 100;
const usualMemory = 200 * 1024 * 1024;

/** The number meant by a quantity of a resource: thousandths for `cpu`, whole units for the rest. */
export function amountOf(resource: string, quantity: string | number): number {
  return resource === 'cpu' ? quantityMilliValue(quantity) : quantityValue(quantity);
}

/** A map of quantities as amounts. */
export function amountsOf(quantities: Readonly<Record<string, string>> | undefined): Map<string, number> {
  const amounts = new Map<string, number>();
  for (const [name, quantity] of Object.entries(quantities ?? {})) amounts.set(name, amountOf(name, quantity));
  return amounts;
}

function add(sum: Map<string, number>, more: Amounts): void {
  for (const [name, amount] of more) sum.set(name, (sum.get(name) ?? 0) + amount);
}

function raise(least: Map<string, number>, other: Amounts): void {
  for (const [name, amount] of other) least.set(name, Math.max(least.get(name) ?? 0, amount));
}

const requestsOf = (container: V1Container): Map<string, number> => amountsOf(container.resources?.requests);

/**
 * What a pod asks of its node: the sum of its containers and sidecars, or what the hungriest init
 * container needs next to the sidecars started before it, plus overhead (KEP-753). Requests of the
 * pod as a whole take the place of the sum for the resources that they name (KEP-2837).
 */
export function podRequests(pod: V1Pod): Amounts {
  const sum = new Map<string, number>();
  for (const container of pod.spec?.containers ?? []) add(sum, requestsOf(container));
  const sidecars = new Map<string, number>();
  const starting = new Map<string, number>();
  for (const container of pod.spec?.initContainers ?? []) {
    const own = requestsOf(container);
    const sidecar = container.restartPolicy === 'Always';
    if (sidecar) {
      add(sidecars, own);
      add(sum, own);
    } else add(own, sidecars);
    raise(starting, sidecar ? sidecars : own);
  }
  raise(sum, starting);
  for (const [name, amount] of amountsOf(pod.spec?.resources?.requests)) sum.set(name, amount);
  add(sum, amountsOf(pod.spec?.overhead));
  return sum;
}

/** The cpu and memory by which nodes are compared: requests, or the usual need where there are none. */
export function comparableRequests(requests: Amounts): { readonly cpu: number; readonly memory: number } {
  return { cpu: requests.get('cpu') || usualCpu, memory: requests.get('memory') || usualMemory };
}
