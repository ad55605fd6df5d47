import type { EndpointRecord, NetworkRecord } from '@wherry/network';
import { byPort, exposedPorts, parsePort } from '../config/ports.ts';
import type { EndpointSettings } from '../config/types.ts';
import type { Container } from '../containers/container.ts';
import type { JsonObject } from '../containers/containers.ts';
import type { DockerContext } from '../containers/context.ts';
import { never } from '../times.ts';

/** `NetworkSettings.Networks`: what was asked for, with what the container has while it runs. */
export function networksView(context: DockerContext, container: Container): Record<string, JsonObject> {
  const live = new Map(context.networks.endpoints(container.id).map((endpoint) => [endpoint.network.name, endpoint]));
  const views: Record<string, JsonObject> = {};
  for (const [name, settings] of Object.entries(container.record.endpoints)) {
    const endpoint = live.get(name);
    views[name] = endpointView(container, settings, endpoint?.network ?? context.networks.find(name), endpoint);
  }
  return views;
}

function endpointView(
  container: Container,
  settings: EndpointSettings,
  network: NetworkRecord | undefined,
  endpoint: EndpointRecord | undefined,
): JsonObject {
  const own = network !== undefined && !network.predefined;
  const { Hostname: hostname } = container.record.config;
  const short = container.id.slice(0, 12);
  const names = [container.name, ...(settings.Aliases ?? []), short, ...(hostname === '' ? [] : [hostname])];
  return {
    IPAMConfig: settings.IPAMConfig,
    Links: settings.Links,
    Aliases: settings.Aliases,
    MacAddress: endpoint?.mac ?? settings.MacAddress,
    // Known from its first start on.
    NetworkID: container.record.state.startedAt === never ? '' : (network?.id ?? ''),
    EndpointID: endpoint?.id ?? '',
    Gateway: endpoint?.ipv4?.gateway ?? '',
    IPAddress: endpoint?.ipv4?.address ?? '',
    IPPrefixLen: endpoint?.ipv4?.prefix ?? 0,
    IPv6Gateway: endpoint?.ipv6?.gateway ?? '',
    GlobalIPv6Address: endpoint?.ipv6?.address ?? '',
    GlobalIPv6PrefixLen: endpoint?.ipv6?.prefix ?? 0,
    DriverOpts: settings.DriverOpts,
    DNSNames: own ? [...new Set(names)] : null,
  };
}

/** `NetworkSettings.Ports`: published ports with their places on the host, others with `null`. */
export function portsView(context: DockerContext, container: Container): JsonObject {
  const ports: Record<string, { HostIp: string; HostPort: string }[] | null> = {};
  // Only a network that leads out has ports to speak of.
  if (!container.alive || !context.networks.leadsOut(container.id)) return ports;
  for (const port of exposedPorts(container.record.config)) ports[port] = null;
  for (const { protocol, containerPort, hostIp, hostPort } of context.networks.published(container.id)) {
    const key = `${containerPort}/${protocol.toLowerCase()}`;
    const list = ports[key] ?? [];
    list.push({ HostIp: hostIp, HostPort: String(hostPort) });
    ports[key] = list;
  }
  return Object.fromEntries(Object.entries(ports).sort(([a], [b]) => byPort(a, b)));
}

/** `Ports` of `docker ps`. */
export function portSummary(context: DockerContext, container: Container): JsonObject[] {
  const summary: JsonObject[] = [];
  for (const [key, bindings] of Object.entries(
    portsView(context, container) as Record<string, { HostIp: string; HostPort: string }[] | null>,
  )) {
    const { port, protocol } = parsePort(key);
    if (bindings === null) summary.push({ PrivatePort: port, Type: protocol });
    else
      for (const { HostIp, HostPort } of bindings)
        summary.push({ IP: HostIp, PrivatePort: port, PublicPort: Number(HostPort), Type: protocol });
  }
  return summary;
}

/** The older fields of `NetworkSettings`, which speak of the default bridge alone. */
export function bridgeFields(networks: Readonly<Record<string, JsonObject>>): JsonObject {
  const bridge = networks.bridge ?? {};
  const text = (name: string): unknown => bridge[name] ?? '';
  return {
    EndpointID: text('EndpointID'),
    Gateway: text('Gateway'),
    GlobalIPv6Address: text('GlobalIPv6Address'),
    GlobalIPv6PrefixLen: bridge.GlobalIPv6PrefixLen ?? 0,
    IPAddress: text('IPAddress'),
    IPPrefixLen: bridge.IPPrefixLen ?? 0,
    IPv6Gateway: text('IPv6Gateway'),
    MacAddress: text('MacAddress'),
  };
}
