import type { V1EndpointSlice, V1Service, V1ServicePort } from '@wherry/api';
import { parseIp } from '@wherry/base';

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** Where a port of a service leads: one address and port that serves. */
export interface Endpoint {
  readonly ip: string;
  readonly port: number;
}

/** One port of a service, with everything that its rules depend on and nothing else. */
export interface PortPlan {
  /** `namespace/name:port/protocol`: identity, and comment of the rules. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly clusterIps: readonly string[];
  /** External and load balancer addresses. */
  readonly externalIps: readonly string[];
  readonly nodePort: number | undefined;
  /** Endpoints in the cluster, sorted; the terminating ones that still serve when none is ready (KEP-1669). */
  readonly endpoints: readonly Endpoint[];
  /** Those of them on this node, found in the same way among the node's own. */
  readonly localEndpoints: readonly Endpoint[];
  /** Seconds that a client stays with an endpoint; `undefined` without session affinity. */
  readonly affinitySeconds: number | undefined;
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
}

const defaultAffinitySeconds = 10_800;

/** The label of services that another proxy takes care of (KEP-2447). */
const otherProxyLabel = 'service.kubernetes.io/service-proxy-name';

/**
 * What the rules of a service must do, from the service and its endpoint slices. Empty for services
 * without a cluster IP (headless, ExternalName) and those of another proxy. IPv4 only.
 */
export function planService(service: V1Service, slices: readonly V1EndpointSlice[], nodeName: string): PortPlan[] {
  const { spec, metadata, status } = service;
  if (spec === undefined || spec.type === 'ExternalName' || metadata?.labels?.[otherProxyLabel] !== undefined)
    return [];
  const clusterIps = ipv4(spec.clusterIPs ?? [spec.clusterIP ?? '']);
  if (clusterIps.length === 0) return [];
  const ingress = status?.loadBalancer?.ingress ?? [];
  const balancerIps = ingress.flatMap(({ ip, ipMode }) => (ip === undefined || ipMode === 'Proxy' ? [] : [ip]));
  const externalIps = ipv4([...(spec.externalIPs ?? []), ...balancerIps]);
  const reachableFromOutside = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  const affinity = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds;
  return (spec.ports ?? []).flatMap((port): PortPlan[] => {
    const protocol = protocolOf(port.protocol);
    if (protocol === undefined || !isPort(port.port)) return [];
    const all = endpointsOf(port, protocol, slices);
    return [
      {
        name: `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}:${port.name ?? ''}/${protocol}`,
        protocol,
        port: port.port,
        clusterIps,
        externalIps,
        nodePort: reachableFromOutside && isPort(port.nodePort) ? port.nodePort : undefined,
        endpoints: choose(all),
        localEndpoints: choose(all.filter((endpoint) => endpoint.node === nodeName)),
        affinitySeconds: spec.sessionAffinity === 'ClientIP' ? Math.max(Math.trunc(affinity), 1) : undefined,
        internalLocal: spec.internalTrafficPolicy === 'Local',
        externalLocal: spec.externalTrafficPolicy === 'Local',
      },
    ];
  });
}

interface Candidate extends Endpoint {
  readonly node: string | undefined;
  readonly ready: boolean;
  readonly servesWhileTerminating: boolean;
}

function endpointsOf(port: V1ServicePort, protocol: Protocol, slices: readonly V1EndpointSlice[]): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue;
    for (const target of slice.ports ?? []) {
      if ((target.name ?? '') !== (port.name ?? '') || protocolOf(target.protocol) !== protocol) continue;
      if (!isPort(target.port)) continue;
      for (const { addresses, conditions, nodeName } of slice.endpoints ?? []) {
        // All addresses of an endpoint are the same; consumers use the first (discovery/v1).
        const [ip] = ipv4(addresses.slice(0, 1));
        if (ip === undefined) continue;
        const candidate: Candidate = {
          ip,
          port: target.port,
          node: nodeName,
          ready: conditions?.ready ?? true,
          servesWhileTerminating: (conditions?.serving ?? true) && (conditions?.terminating ?? false),
        };
        const key = `${ip}:${target.port}`;
        // An endpoint that moves between slices may be in both for a moment.
        if (!found.get(key)?.ready) found.set(key, candidate);
      }
    }
  }
  return [...found.values()];
}

function choose(candidates: readonly Candidate[]): Endpoint[] {
  const ready = candidates.filter((candidate) => candidate.ready);
  const chosen = ready.length > 0 ? ready : candidates.filter((candidate) => candidate.servesWhileTerminating);
  const order = (one: Endpoint, other: Endpoint): number =>
    one.ip === other.ip ? one.port - other.port : one.ip < other.ip ? -1 : 1;
  return chosen.map(({ ip, port }) => ({ ip, port })).sort(order);
}

function ipv4(texts: readonly string[]): string[] {
  return [...new Set(texts)].filter((text) => parseIp(text)?.length === 4);
}

function isPort(port: number | undefined): port is number {
  return port !== undefined && Number.isInteger(port) && port > 0 && port < 65_536;
}

function protocolOf(protocol = 'TCP'): Protocol | undefined {
  const name = protocol.toLowerCase();
  return name === 'tcp' || name === 'udp' || name === 'sctp' ? name : undefined;
}
