import type { V1Endpoint, V1EndpointAddress, V1EndpointSlice, V1Endpoints, V1Service } from '@wherry/api';
import { keyOf, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { stableText } from '../template-hash.ts';
import { type AddressType, type EndpointGroup, planSlices } from './plan.ts';
import { managedByLabel, SliceWriter, serviceNameLabel, sliceService } from './slice-writer.ts';

const manager = 'endpointslicemirroring-controller.k8s.io';
const skipLabel = 'endpointslice.kubernetes.io/skip-mirror';
const leaderAnnotation = 'control-plane.alpha.kubernetes.io/leader';
/** Addresses of one subset that are mirrored (upstream's default). */
const mostPerSubset = 1000;

/** Annotations that speak of the Endpoints object itself. */
const ownAnnotations = new Set([
  'endpoints.kubernetes.io/last-change-trigger-time',
  'kubectl.kubernetes.io/last-applied-configuration',
]);

/** Shows hand-made Endpoints of services without a selector as EndpointSlices, which is what proxies read (KEP-752). */
export function endpointSliceMirroringController(context: ControllerContext): Controller {
  const { client, informers, random, clock } = context;
  return defineController(context, {
    name: 'endpoint-slice-mirroring-controller',
    kind: { apiVersion: 'v1', kind: 'Endpoints' },
    start({ queue }) {
      const services = informers.informer<V1Service>(resources.services);
      const endpoints = informers.informer<V1Endpoints>(resources.endpoints);
      const slices = informers.informer<V1EndpointSlice>(resources.endpointSlices, {
        indexes: { service: sliceService },
      });
      const kind = { apiVersion: 'v1', kind: 'Endpoints' };
      const writer = new SliceWriter({ client, clock, random, manager, kind });
      return {
        synced: [services.synced, endpoints.synced, slices.synced],
        subscriptions: [
          endpoints.onChange(({ object }) => queue.add(keyOf(object))),
          services.onChange((change) => {
            const before = change.type === 'updated' && Boolean(change.previous.spec?.selector);
            if (change.type !== 'updated' || before !== Boolean(change.object.spec?.selector))
              queue.add(keyOf(change.object));
          }),
          writer.watch(slices, (service) => queue.add(service)),
        ],
        async reconcile(key) {
          const own = slices
            .byIndex('service', key)
            .filter((slice) => slice.metadata?.labels?.[managedByLabel] === manager);
          const source = endpoints.get(key);
          if (source === undefined || !isMirrored(source, services.get(key))) {
            await writer.removeAll(key, own);
            return;
          }
          if (!writer.isSettled(key)) return; // its slices come through the informer and wake us
          const labels = {
            ...source.metadata?.labels,
            [serviceNameLabel]: source.metadata?.name ?? '',
            [managedByLabel]: manager,
          };
          const annotations = mirroredAnnotations(source);
          for (const type of ['IPv4', 'IPv6'] as const) {
            const groups = mirroredGroups(source, type);
            const existing = own.filter((slice) => slice.addressType === type && !slice.metadata?.deletionTimestamp);
            const plan =
              groups.length === 0
                ? { create: [], update: [], remove: existing }
                : planSlices(type, groups, existing, { labels });
            await writer.apply(source, key, plan, labels, annotations);
          }
        },
      };
    },
  });
}

/** Whether Endpoints are made by hand for a service without a selector. */
export function isMirrored({ metadata }: V1Endpoints, service: V1Service | undefined): boolean {
  if (metadata?.deletionTimestamp || metadata?.labels?.[skipLabel] === 'true') return false;
  if (metadata?.annotations?.[leaderAnnotation] !== undefined) return false;
  return service !== undefined && !service.spec?.selector;
}

function mirroredAnnotations({ metadata }: V1Endpoints): Record<string, string> | undefined {
  const left = Object.entries(metadata?.annotations ?? {}).filter(([name]) => !ownAnnotations.has(name));
  return left.length === 0 ? undefined : Object.fromEntries(left);
}

/** The endpoints of one family, grouped by their ports; an address in several subsets with the same ports counts once. Pure. */
export function mirroredGroups(source: V1Endpoints, type: AddressType): EndpointGroup[] {
  const groups = new Map<string, { ports: EndpointGroup['ports']; endpoints: Map<string, V1Endpoint> }>();
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of source.subsets ?? []) {
    const slicePorts = ports.map(({ name = '', port, protocol = 'TCP', appProtocol }) => ({
      name,
      port,
      protocol,
      ...(appProtocol ? { appProtocol } : {}),
    }));
    const key = stableText(slicePorts);
    const group = groups.get(key) ?? { ports: slicePorts, endpoints: new Map<string, V1Endpoint>() };
    const all = [
      ...addresses.map((address) => endpointOf(address, true)),
      ...notReadyAddresses.map((address) => endpointOf(address, false)),
    ];
    for (const endpoint of all.slice(0, mostPerSubset)) {
      const [address = ''] = endpoint.addresses;
      if (address.includes(':') !== (type === 'IPv6') || group.endpoints.has(address)) continue;
      group.endpoints.set(address, endpoint);
    }
    if (group.endpoints.size > 0) groups.set(key, group);
  }
  return [...groups.values()].map(({ ports, endpoints }) => ({ ports, endpoints: [...endpoints.values()] }));
}

function endpointOf({ ip, hostname, nodeName, targetRef }: V1EndpointAddress, ready: boolean): V1Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    ...(targetRef ? { targetRef } : {}),
  };
}
