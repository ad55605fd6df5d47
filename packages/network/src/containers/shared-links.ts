import { WherryError } from '@wherry/base';
import { createChildLink, createVeth, findLink, type SharedLink, setLinkRequest, vlanRequest } from '@wherry/linux';
import type { EndpointRecord } from '../container-networks.ts';
import { configureInside, type DefaultRoutes, setDeviceRoutes } from './attach.ts';
import type { HostSide } from './host-side.ts';
import type { LiveNetwork } from './live-network.ts';

/** Makes an endpoint's interface on its network's parent, ready to use. Throws `invalid`, `unsupported`. */
export function attachToParent(
  host: HostSide,
  network: LiveNetwork,
  {
    record,
    netns,
    routes,
  }: { readonly record: EndpointRecord; readonly netns: string; readonly routes: DefaultRoutes },
): void {
  const parent = raiseParent(host, network);
  const { options } = network;
  const link: SharedLink =
    network.record.driver === 'macvlan'
      ? { kind: 'macvlan', mode: options.macvlanMode }
      : { kind: 'ipvlan', mode: options.ipvlanMode, flag: options.ipvlanFlag };
  createChildLink(host.socket, {
    name: record.interfaceName,
    parent,
    netns,
    link,
    // An ipvlan interface has its parent's.
    settings: { mac: link.kind === 'macvlan' ? record.mac : undefined, mtu: options.mtu },
  });
  configureInside(record, netns, routes);
  if (link.kind === 'ipvlan' && link.mode !== 'l2') {
    const families = [record.ipv4 && '0.0.0.0/0', record.ipv6 && '::/0'].filter((route) => route !== undefined);
    setDeviceRoutes(netns, record.interfaceName, families);
  }
}

/** Name of the interface that stands in for a parent that was not given: one end of a pair, with nobody at the other. */
function standInName(networkId: string): string {
  return `dm-${networkId.slice(0, 12)}`;
}

/** Index of the parent; `eth0.10` is made when it is missing, and so is what stands in for none. */
export function raiseParent(host: HostSide, network: LiveNetwork): number {
  const { socket } = host;
  const { driver, id } = network.record;
  const name = network.options.parent ?? standInName(id);
  const known = findLink(socket, name);
  if (known !== undefined) return known.index;
  if (network.options.parent === undefined) {
    const peer = { name: name.replace('dm-', 'dp-'), netns: host.netns };
    createVeth(socket, { name, settings: { up: true }, peer });
    socket.execute(setLinkRequest(findLink(socket, peer.name)!.index, { up: true }));
  } else {
    const [, base, number] = /^(.+)\.(\d{1,4})$/.exec(name) ?? [];
    const vlan = Number(number);
    if (base === undefined || vlan < 1 || vlan > 4094) {
      const example = `invalid subinterface vlan name ${name}, example formatting is eth0.10`;
      throw new WherryError(
        'invalid',
        base === undefined ? example : `vlan id must be between 1-4094, received: ${vlan}`,
      );
    }
    const parent = findLink(socket, base);
    if (parent === undefined) {
      throw new WherryError(
        'invalid',
        `failed to find master interface ${base} on the Docker host for the ${driver} network`,
      );
    }
    socket.execute(vlanRequest(name, parent.index, vlan));
  }
  return findLink(socket, name)!.index;
}

/** Removes what stands in for a parent. */
export function lowerParent(host: HostSide, network: LiveNetwork): void {
  if (network.options.parent !== undefined) return;
  const link = findLink(host.socket, standInName(network.record.id));
  if (link !== undefined) host.deleteLink(link.index);
}
