import { isIPv6 } from 'node:net';
import { codeOf, parseIp, WherryError } from '@wherry/base';
import {
  addAddressRequest,
  addRouteRequest,
  bridgePortRequest,
  createVeth,
  deleteLinkRequest,
  findLink,
  type NetlinkRequest,
  NetlinkSocket,
  replaceRouteRequest,
  setLinkRequest,
  writeNetworkSysctl,
} from '@wherry/linux';
import type { EndpointRecord } from '../container-networks.ts';
import { defaultMtu, type HostSide } from './host-side.ts';
import type { LiveNetwork } from './live-network.ts';

/** The interface that a namespace's default routes lead through. */
export interface DefaultRoutes {
  readonly ipv4: { readonly device: string; readonly via: string } | undefined;
  readonly ipv6: { readonly device: string; readonly via: string } | undefined;
}

/** Makes an endpoint's interface in a namespace, ready to use. */
export function attachToBridge(
  host: HostSide,
  network: LiveNetwork,
  {
    record,
    netns,
    routes,
  }: { readonly record: EndpointRecord; readonly netns: string; readonly routes: DefaultRoutes },
): void {
  const name = host.linkName(record.id);
  const mtu = network.options.mtu ?? defaultMtu;
  const pair = {
    name,
    settings: { up: true, master: network.device!, mtu, queueLength: 0 },
    peer: { netns, name: record.interfaceName, mac: record.mac, mtu, queueLength: 0 },
  };
  const port = {
    hairpin: host.filtersBridged ? true : undefined,
    // Where rules see bridged frames they keep containers apart, and let through what goes by a published port.
    isolated: network.options.interContainer || host.filtersBridged ? undefined : true,
  };
  const following = port.hairpin || port.isolated ? [bridgePortRequest(name, port)] : [];
  try {
    createVeth(host.socket, pair, following);
  } catch (error) {
    const stale = codeOf(error) === 'alreadyExists' ? findLink(host.socket, name) : undefined;
    if (stale === undefined) throw refusedAddress(error, record) ?? error;
    host.deleteLink(stale.index);
    createVeth(host.socket, pair, following);
  }
  configureInside(record, netns, routes);
}

/** The kernel takes no MAC address of zeros or of a group. */
function refusedAddress(error: unknown, { interfaceName, mac }: EndpointRecord): WherryError | undefined {
  if (!(error instanceof WherryError) || error.details?.errno !== 'EADDRNOTAVAIL') return undefined;
  const text = `error setting interface "${interfaceName}" MAC to "${mac}": cannot assign requested address`;
  return new WherryError('invalid', text, { cause: error });
}

/** Gives an interface in its namespace its addresses and routes, and sets it up. */
export function configureInside(record: EndpointRecord, netns: string, routes: DefaultRoutes): void {
  const { interfaceName, ipv4, ipv6, mac, linkLocal = [] } = record;
  const settings: [family: 'ipv4' | 'ipv6', name: string, value: string][] = [
    ['ipv6', 'disable_ipv6', ipv6 === undefined && !linkLocal.some(isIPv6) ? '1' : '0'],
  ];
  // Neighbours that knew the address by another MAC address are told; one made of the address is always the same.
  if (ipv4 !== undefined && mac !== macOf(ipv4.address)) settings.push(['ipv4', 'arp_notify', '1']);
  setSettings(netns, interfaceName, settings);
  using inside = NetlinkSocket.open({ netns });
  const device = deviceOf(inside, interfaceName, netns);
  const own = [ipv4, ipv6].flatMap((given) => (given === undefined ? [] : [`${given.address}/${given.prefix}`]));
  const ofLink = linkLocal.map((address) => `${address}/${classPrefix(address)}`);
  inside.batch([
    ...own.map((address) => addAddressRequest(device, address, { broadcast: true, unique: true })),
    // Whether somebody on the link has such an address is not known here: the kernel asks.
    ...ofLink.map((address) => addAddressRequest(device, address, { broadcast: true })),
    setLinkRequest(device, { up: true }),
    ...routeRequests(routes, (name) => (name === interfaceName ? device : deviceOf(inside, name, netns))),
  ]);
}

/** The prefix of an address that comes without one: of its class (RFC 791), as Go's `DefaultMask` and so docker has it. */
export function classPrefix(address: string): number {
  const [first = 0] = parseIp(address) ?? [];
  if (isIPv6(address)) return 64;
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

/** As docker makes it: out of the IPv4 address. */
export function macOf(ipv4: string): string {
  const bytes = Array.from(parseIp(ipv4)!, (byte) => byte.toString(16).padStart(2, '0'));
  return `02:42:${bytes.join(':')}`;
}

/** Leads a namespace's default routes through other interfaces. */
export function setDefaultRoutes(netns: string, routes: DefaultRoutes): void {
  using inside = NetlinkSocket.open({ netns });
  inside.batch(routeRequests(routes, (name) => deviceOf(inside, name, netns)));
}

function routeRequests({ ipv4, ipv6 }: DefaultRoutes, indexOf: (name: string) => number): NetlinkRequest[] {
  const ways = [
    { way: ipv4, destination: '0.0.0.0/0' },
    { way: ipv6, destination: '::/0' },
  ];
  return ways.flatMap(({ way, destination }) =>
    way === undefined ? [] : [replaceRouteRequest({ destination, via: way.via, device: indexOf(way.device) })],
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
