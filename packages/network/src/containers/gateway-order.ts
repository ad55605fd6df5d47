import type { NetworkRecord } from '../container-networks.ts';

/** A connection, as far as docker's choice of a gateway depends on it. */
export interface GatewayCandidate {
  readonly gatewayPriority: number;
  readonly network: Pick<NetworkRecord, 'name' | 'internal' | 'enableIPv6'>;
}

/**
 * Docker's order of a container's networks: the highest priority first, those that lead out, those that do so by
 * IPv6, then by name (`Endpoint.Less` of libnetwork). The first has the default route, and interfaces are numbered in that order.
 */
export function byGateway(one: GatewayCandidate, other: GatewayCandidate): number {
  const [a, b] = [one.network, other.network];
  return (
    other.gatewayPriority - one.gatewayPriority ||
    Number(a.internal) - Number(b.internal) ||
    (a.internal ? 0 : Number(b.enableIPv6) - Number(a.enableIPv6)) ||
    (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  );
}
