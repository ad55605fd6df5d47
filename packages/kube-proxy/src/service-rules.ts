import { createHash } from 'node:crypto';
import type { Endpoint, PortPlan } from './service-plan.ts';

/** An element of a set or map; in maps `value` is a verdict. */
export interface Element {
  readonly set:
    | 'cluster-ips'
    | 'hairpin'
    | 'service-ips'
    | 'service-nodeports'
    | 'no-endpoint-services'
    | 'no-endpoint-nodeports';
  readonly key: string;
  readonly value?: string;
}

/** The part of the table that belongs to one service. */
export interface ServiceRules {
  /** Chains by name with their rules; a chain may refer to later ones. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Sets by name with their definition. */
  readonly sets: ReadonlyMap<string, string>;
  readonly elements: readonly Element[];
}

export const noRules: ServiceRules = { chains: new Map(), sets: new Map(), elements: [] };

/**
 * The rules of a service's ports. Per port one chain that picks an endpoint at random; one more
 * where outside traffic is treated differently; with session affinity, a chain and a set of recent
 * clients per endpoint. `clusterCidr` is where traffic comes from that keeps its source address.
 */
export function renderService(ports: readonly PortPlan[], clusterCidr: string): ServiceRules {
  const rules = { chains: new Map<string, string[]>(), sets: new Map<string, string>(), elements: [] as Element[] };
  for (const port of ports) renderPort(port, clusterCidr, rules);
  return rules;
}

interface Building {
  readonly chains: Map<string, string[]>;
  readonly sets: Map<string, string>;
  readonly elements: Element[];
}

function renderPort(port: PortPlan, clusterCidr: string, to: Building): void {
  const id = idOf(port);
  for (const ip of port.clusterIps) to.elements.push({ set: 'cluster-ips', key: ip });
  for (const { ip } of port.endpoints) to.elements.push({ set: 'hairpin', key: `${ip} . ${ip}` });
  for (const { ip } of port.localEndpoints) to.elements.push({ set: 'hairpin', key: `${ip} . ${ip}` });

  const cluster = `svc-${id}`;
  const local = `local-${id}`;
  const outside = `ext-${id}`;
  const masquerade = `ip daddr { ${port.clusterIps.join(', ')} } ip saddr != ${clusterCidr} jump masquerade-later`;
  const needsCluster = port.endpoints.length > 0;
  const hasOutside = port.externalIps.length > 0 || port.nodePort !== undefined;
  const needsLocal = port.internalLocal || (port.externalLocal && hasOutside);

  if (needsCluster) {
    const first = port.internalLocal ? [] : [masquerade];
    to.chains.set(cluster, [...first, ...toEndpoints(port, id, port.endpoints, to)]);
  }
  if (needsLocal && port.localEndpoints.length > 0) {
    const first = port.internalLocal ? [masquerade] : [];
    to.chains.set(local, [...first, ...toEndpoints(port, id, port.localEndpoints, to)]);
  }
  if (needsCluster && hasOutside) {
    to.chains.set(
      outside,
      port.externalLocal
        ? localOutside(port, cluster, local, clusterCidr)
        : ['jump masquerade-later', `goto ${cluster}`],
    );
  }

  const inside = port.internalLocal
    ? verdict(port.localEndpoints, local, port.endpoints.length > 0 ? 'drop' : 'goto refuse')
    : verdict(port.endpoints, cluster, 'goto refuse');
  for (const ip of port.clusterIps) place(to, ip, port, inside);
  const fromOutside = verdict(port.endpoints, outside, 'goto refuse');
  // What is not short-circuited within the cluster finds no endpoint here, and no other node either.
  const dropped = port.externalLocal && needsCluster && port.localEndpoints.length === 0;
  for (const key of [...port.externalIps, undefined]) {
    if (key === undefined && port.nodePort === undefined) continue;
    place(to, key, port, fromOutside);
    if (dropped) place(to, key, port, { service: undefined, refused: 'drop' });
  }
}

/** Local traffic and pods reach all endpoints; the rest keeps its source address and reaches only those of this node. */
function localOutside(port: PortPlan, cluster: string, local: string, clusterCidr: string): string[] {
  return [
    `ip saddr ${clusterCidr} goto ${cluster}`,
    'fib saddr type local jump masquerade-later',
    `fib saddr type local goto ${cluster}`,
    ...(port.localEndpoints.length > 0 ? [`goto ${local}`] : []),
  ];
}

interface Verdicts {
  readonly service: string | undefined;
  readonly refused: string | undefined;
}

function verdict(endpoints: readonly Endpoint[], chain: string, refused: string): Verdicts {
  return endpoints.length > 0 ? { service: `goto ${chain}`, refused: undefined } : { service: undefined, refused };
}

/** Puts an address (or, without one, the node port) into the map of services or of those without endpoints. */
function place(to: Building, ip: string | undefined, port: PortPlan, { service, refused }: Verdicts): void {
  const key = ip === undefined ? `${port.protocol} . ${port.nodePort}` : `${ip} . ${port.protocol} . ${port.port}`;
  if (service !== undefined) {
    to.elements.push({ set: ip === undefined ? 'service-nodeports' : 'service-ips', key, value: service });
  }
  if (refused !== undefined) {
    to.elements.push({ set: ip === undefined ? 'no-endpoint-nodeports' : 'no-endpoint-services', key, value: refused });
  }
}

function toEndpoints(port: PortPlan, id: string, endpoints: readonly Endpoint[], to: Building): string[] {
  if (port.affinitySeconds === undefined) return [pickByMap(port, endpoints)];
  const chains = endpoints.map((endpoint) => {
    const set = `aff-${id}-${port.affinitySeconds}-${endpoint.ip}/${endpoint.port}`;
    const chain = `ep-${id}-${endpoint.ip}/${endpoint.port}`;
    to.sets.set(set, `type ipv4_addr; size 65535; flags dynamic,timeout; timeout ${port.affinitySeconds}s;`);
    to.chains.set(chain, [
      `update @${set} { ip saddr }`,
      `meta l4proto ${port.protocol} dnat to ${endpoint.ip}:${endpoint.port}`,
    ]);
    return { set, chain };
  });
  return [
    ...chains.map(({ set, chain }) => `ip saddr @${set} goto ${chain}`),
    `numgen random mod ${chains.length} vmap { ${chains.map(({ chain }, i) => `${i} : goto ${chain}`).join(', ')} }`,
  ];
}

function pickByMap({ protocol }: PortPlan, endpoints: readonly Endpoint[]): string {
  const [only] = endpoints;
  if (endpoints.length === 1 && only) return `meta l4proto ${protocol} dnat to ${only.ip}:${only.port}`;
  const choices = endpoints.map(({ ip, port }, i) => `${i} : ${ip} . ${port}`).join(', ');
  return `meta l4proto ${protocol} dnat ip to numgen random mod ${endpoints.length} map { ${choices} }`;
}

/** A short, stable part of chain names, with the service's name behind it as far as nftables' 127 characters allow. */
function idOf(port: PortPlan): string {
  const hash = createHash('sha256').update(port.name).digest('hex').slice(0, 10);
  return `${hash}-${port.name.replace(/[^a-z0-9./-]/g, '_').slice(0, 64)}`;
}
