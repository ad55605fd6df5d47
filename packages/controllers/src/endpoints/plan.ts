import type {
  CoreV1EndpointPort,
  DiscoveryV1EndpointPort,
  V1Endpoint,
  V1EndpointAddress,
  V1EndpointSlice,
  V1EndpointSubset,
  V1Node,
  V1Pod,
  V1Service,
  V1ServicePort,
} from '@wherry/api';
import { equalJson } from '@wherry/client';
import { isFinished, isReady } from '../pods/pod-facts.ts';
import { stableText } from '../template-hash.ts';

export type AddressType = 'IPv4' | 'IPv6';

/** Most endpoints in one slice (upstream's default), and most addresses in one Endpoints object. */
const mostPerSlice = 100;
const mostAddresses = 1000;

/** Endpoints that share one set of ports (a named port may differ from pod to pod). */
export interface EndpointGroup {
  readonly ports: readonly DiscoveryV1EndpointPort[];
  readonly endpoints: readonly V1Endpoint[];
}

/** Families that a service's endpoints are published for. */
export function addressTypesOf(service: V1Service): AddressType[] {
  const families = service.spec?.ipFamilies ?? [];
  return families.length === 0 ? ['IPv4'] : families.map((family) => family as AddressType);
}

function addressOf(pod: V1Pod, type: AddressType): string | undefined {
  const all = [...(pod.status?.podIPs ?? []).map(({ ip }) => ip), pod.status?.podIP];
  return all.find((ip) => ip !== undefined && ip !== '' && ip.includes(':') === (type === 'IPv6'));
}

/** The number of a target port on a pod; names are looked up in its containers and sidecars. */
function portOn(pod: V1Pod, { targetPort, port, protocol = 'TCP' }: V1ServicePort): number | undefined {
  if (typeof targetPort === 'number' && targetPort !== 0) return targetPort;
  if (typeof targetPort !== 'string' || targetPort === '') return port;
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const container of [...(pod.spec?.containers ?? []), ...sidecars])
    for (const named of container.ports ?? [])
      if (named.name === targetPort && (named.protocol ?? 'TCP') === protocol) return named.containerPort;
  return undefined;
}

function portsOn(pod: V1Pod, service: V1Service): DiscoveryV1EndpointPort[] {
  return (service.spec?.ports ?? []).flatMap((port) => {
    const number = portOn(pod, port);
    if (number === undefined) return [];
    const { appProtocol } = port;
    return [
      {
        name: port.name ?? '',
        port: number,
        protocol: port.protocol ?? 'TCP',
        ...(appProtocol ? { appProtocol } : {}),
      },
    ];
  });
}

/** The endpoints of a service, grouped by ports. Pods without address and those that ended are left out. Pure. */
export function planGroups(
  service: V1Service,
  pods: readonly V1Pod[],
  type: AddressType,
  nodeOf: (name: string) => V1Node | undefined = () => undefined,
): EndpointGroup[] {
  const groups = new Map<string, { ports: DiscoveryV1EndpointPort[]; endpoints: V1Endpoint[] }>();
  const headless = service.spec?.clusterIP === 'None';
  for (const pod of pods) {
    const address = addressOf(pod, type);
    if (address === undefined || isFinished(pod)) continue;
    const ports = portsOn(pod, service);
    if (ports.length === 0 && (service.spec?.ports?.length ?? 0) > 0 && !headless) continue;
    const key = stableText(ports);
    let group = groups.get(key);
    if (group === undefined) {
      group = { ports, endpoints: [] };
      groups.set(key, group);
    }
    group.endpoints.push(endpointOf(service, pod, address, nodeOf));
  }
  return [...groups.values()];
}

function endpointOf(
  service: V1Service,
  pod: V1Pod,
  address: string,
  nodeOf: (name: string) => V1Node | undefined,
): V1Endpoint {
  const { name, namespace, uid } = pod.metadata ?? {};
  const terminating = pod.metadata?.deletionTimestamp !== undefined;
  const serving = isReady(pod);
  const ready = service.spec?.publishNotReadyAddresses ? true : serving && !terminating;
  const nodeName = pod.spec?.nodeName;
  const zone = nodeName ? nodeOf(nodeName)?.metadata?.labels?.['topology.kubernetes.io/zone'] : undefined;
  const { hostname, subdomain } = pod.spec ?? {};
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname && subdomain === service.metadata?.name ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    targetRef: { kind: 'Pod', ...(namespace ? { namespace } : {}), ...(name ? { name } : {}), ...(uid ? { uid } : {}) },
    ...(zone ? { zone } : {}),
  };
}

/** What to write so that slices show the groups. Unchanged slices are left alone, and endpoints stay where they are. */
export interface SlicePlan {
  readonly create: readonly Pick<V1EndpointSlice, 'ports' | 'endpoints' | 'addressType'>[];
  readonly update: readonly V1EndpointSlice[];
  readonly remove: readonly V1EndpointSlice[];
}

/** `existing` are our slices of one address type. A service without endpoints keeps one empty slice. Pure. */
export function planSlices(
  type: AddressType,
  groups: readonly EndpointGroup[],
  existing: readonly V1EndpointSlice[],
  meta: Pick<NonNullable<V1EndpointSlice['metadata']>, 'labels'>,
): SlicePlan {
  const wanted = groups.length === 0 ? [{ ports: [], endpoints: [] }] : groups;
  const left = new Set(existing);
  const create: SlicePlan['create'][number][] = [];
  const update: V1EndpointSlice[] = [];
  for (const { ports, endpoints } of wanted) {
    const missing = new Map(endpoints.map((endpoint) => [endpoint.addresses[0]!, endpoint]));
    const slices = existing.filter((slice) => left.has(slice) && equalJson(slice.ports ?? [], ports));
    const kept = slices.map((slice) => ({
      slice,
      endpoints: (slice.endpoints ?? []).flatMap((endpoint) => {
        const now = missing.get(endpoint.addresses[0]!);
        missing.delete(endpoint.addresses[0]!);
        return now ? [now] : [];
      }),
    }));
    const rest = [...missing.values()];
    for (const entry of kept) entry.endpoints.push(...rest.splice(0, mostPerSlice - entry.endpoints.length));
    const filled = kept.filter((entry) => entry.endpoints.length > 0);
    const used = filled.length > 0 || rest.length > 0 ? filled : kept.slice(0, 1);
    for (const entry of used) {
      left.delete(entry.slice);
      const same =
        equalJson(entry.endpoints, entry.slice.endpoints ?? []) && equalJson(meta.labels, entry.slice.metadata?.labels);
      if (!same)
        update.push({ ...entry.slice, endpoints: entry.endpoints, metadata: { ...entry.slice.metadata, ...meta } });
    }
    if (used.length === 0 && rest.length === 0) create.push({ addressType: type, ports: [...ports], endpoints: [] });
    while (rest.length > 0)
      create.push({ addressType: type, ports: [...ports], endpoints: rest.splice(0, mostPerSlice) });
  }
  return { create, update, remove: [...left] };
}

function addressEntry(endpoint: V1Endpoint): V1EndpointAddress {
  const { hostname, nodeName, targetRef } = endpoint;
  return {
    ip: endpoint.addresses[0]!,
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    ...(targetRef ? { targetRef } : {}),
  };
}

/** The subsets of an Endpoints object for the same groups; at most 1000 addresses. Pure. */
export function planSubsets(groups: readonly EndpointGroup[]): {
  readonly subsets: V1EndpointSubset[];
  readonly truncated: boolean;
} {
  let room = mostAddresses;
  let truncated = false;
  const byIp = (a: V1EndpointAddress, b: V1EndpointAddress): number => (a.ip < b.ip ? -1 : 1);
  const subsets = groups.flatMap(({ ports, endpoints }) => {
    // The older API has no way to say "terminating": such pods are not in it.
    const living = endpoints.filter((endpoint) => !endpoint.conditions?.terminating || endpoint.conditions.ready);
    const take = living.slice(0, room);
    truncated ||= take.length < living.length;
    room -= take.length;
    if (take.length === 0) return [];
    const ready = take
      .filter((endpoint) => endpoint.conditions?.ready)
      .map(addressEntry)
      .sort(byIp);
    const waiting = take
      .filter((endpoint) => !endpoint.conditions?.ready)
      .map(addressEntry)
      .sort(byIp);
    const oldPorts: CoreV1EndpointPort[] = ports.map(({ name, port, protocol, appProtocol }) => ({
      ...(name ? { name } : {}),
      port: port!,
      ...(protocol ? { protocol } : {}),
      ...(appProtocol ? { appProtocol } : {}),
    }));
    return [
      {
        ...(ready.length > 0 ? { addresses: ready } : {}),
        ...(waiting.length > 0 ? { notReadyAddresses: waiting } : {}),
        ...(oldPorts.length > 0 ? { ports: oldPorts } : {}),
      },
    ];
  });
  return { subsets: subsets.sort((a, b) => (stableText(a.ports) < stableText(b.ports) ? -1 : 1)), truncated };
}
