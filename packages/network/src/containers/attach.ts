import { codeOf, WherryError } from '@wherry/base';
import {
  addAddressRequest,
  addRouteRequest,
  bridgePortRequest,
  createVeth,
  deleteLinkRequest,
  findLink,
  NetlinkSocket,
  replaceRouteRequest,
  setLinkRequest,
  writeNetworkSysctl,
} from '@wherry/linux';
import type { EndpointRecord } from '../container-networks.ts';
import type { HostSide } from './host-side.ts';
import type { LiveNetwork } from './live-network.ts';

/** The interface that a namespace's default routes lead through. */
export interface DefaultRoutes {
  readonly ipv4: { readonly device: string; readonly via: string } | undefined;
  readonly ipv6: { readonly device: string; readonly via: string } | undefined;
}

/** Makes an endpoint's interface in a namespace, ready to use but for default routes. */
export function attachToBridge(host: HostSide, network: LiveNetwork, record: EndpointRecord, netns: string): void {
  const name = host.linkName(record.id);
  const mtu = network.options.mtu ?? 1500;
  const pair = {
    name,
    settings: { up: true, master: network.device!, mtu },
    peer: { netns, name: record.interfaceName, mac: record.mac, mtu },
  };
  try {
    createVeth(host.socket, pair);
  } catch (error) {
    const stale = codeOf(error) === 'alreadyExists' ? findLink(host.socket, name) : undefined;
    if (stale === undefined) throw error;
    host.deleteLink(stale.index);
    createVeth(host.socket, pair);
  }
  const port = {
    hairpin: host.filtersBridged ? true : undefined,
    // Where rules see bridged frames they keep containers apart, and let through what goes by a published port.
    isolated: network.options.interContainer || host.filtersBridged ? undefined : true,
  };
  if (port.hairpin || port.isolated) host.socket.execute(bridgePortRequest(name, port));
  configureInside(record, netns);
}

/** Gives an interface in its namespace its addresses, and sets it up; that tells the neighbours its address. */
export function configureInside(record: EndpointRecord, netns: string): void {
  const { interfaceName, ipv4, ipv6 } = record;
  setSettings(netns, interfaceName, [
    ['ipv4', 'arp_notify', '1'],
    ['ipv6', 'disable_ipv6', ipv6 === undefined ? '1' : '0'],
  ]);
  using inside = NetlinkSocket.open({ netns });
  const device = deviceOf(inside, interfaceName, netns);
  const addresses = [ipv4, ipv6].filter((address) => address !== undefined);
  inside.batch([
    ...addresses.map(({ address, prefix }) =>
      addAddressRequest(device, `${address}/${prefix}`, { broadcast: true, unique: true }),
    ),
    setLinkRequest(device, { up: true }),
  ]);
}

/** Leads a namespace's default routes through other interfaces. */
export function setDefaultRoutes(netns: string, { ipv4, ipv6 }: DefaultRoutes): void {
  using inside = NetlinkSocket.open({ netns });
  const routes = [
    { route: ipv4, destination: '0.0.0.0/0' },
    { route: ipv6, destination: '::/0' },
  ];
  inside.batch(
    routes.flatMap(({ route, destination }) =>
      route === undefined
        ? []
        : [replaceRouteRequest({ destination, via: route.via, device: deviceOf(inside, route.device, netns) })],
    ),
  );
}

/** Default routes through devices without a gateway: of interfaces that share a link on the network layer. */
export function setDeviceRoutes(netns: string, device: string, destinations: readonly string[]): void {
  using inside = NetlinkSocket.open({ netns });
  const index = deviceOf(inside, device, netns);
  inside.batch(destinations.map((destination) => addRouteRequest({ destination, device: index })));
}

/** Removes an interface from a namespace; one that is not there is no error. */
export function removeInside(netns: string, interfaceName: string): void {
  using inside = NetlinkSocket.open({ netns });
  const link = findLink(inside, interfaceName);
  if (link !== undefined) inside.execute(deleteLinkRequest(link.index));
}

function deviceOf(inside: NetlinkSocket, name: string, netns: string): number {
  const link = findLink(inside, name);
  if (link === undefined) throw new WherryError('internal', `interface ${name} is not in ${netns}`);
  return link.index;
}

function setSettings(
  netns: string,
  name: string,
  settings: readonly (readonly ['ipv4' | 'ipv6', string, string])[],
): void {
  for (const [family, setting, value] of settings) {
    try {
      writeNetworkSysctl(`net/${family}/conf/${name}/${setting}`, value, netns);
    } catch (error) {
      // A kernel without IPv6, or a namespace in which settings may not be changed.
      if (codeOf(error) !== 'notFound' && codeOf(error) !== 'forbidden') throw error;
    }
  }
}
