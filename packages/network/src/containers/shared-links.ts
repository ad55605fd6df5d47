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
  const { id } = network.record;
  const name = network.options.parent ?? standInName(id);
  const known = findLink(socket, name);
  if (known !== undefined) return known.index;
  if (network.options.parent === undefined) {
    const peer = { name: name.replace('dm-', 'dp-'), netns: host.netns };
    createVeth(socket, { name, settings: { up: true }, peer });
    socket.execute(setLinkRequest(findLink(socket, peer.name)!.index, { up: true }));
  } else {
    makeVlan(host, name);
  }
  return findLink(socket, name)!.index;
}

function makeVlan({ socket }: HostSide, name: string): void {
  const refuse = (text: string): never => {
    throw new WherryError('invalid', text);
  };
  const [base = '', number = '', ...more] = name.split('.');
  if (!name.includes('.')) refuse(`invalid subinterface vlan name ${name}, example formatting is eth0.10`);
  if (more.length > 0)
    refuse(`required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received ${name}`);
  if (!/^[+-]?\d{1,10}$/.test(number))
    refuse(`unable to parse a valid vlan id from: ${number} (ex. eth0.10 for vlan 10)`);
  const parent = findLink(socket, base) ?? refuse(`-o parent interface was not found on the host: ${base}`);
  const vlan = Number(number);
  if (vlan < 1 || vlan > 4094) refuse(`vlan id must be between 1-4094, received: ${vlan}`);
  try {
    socket.execute(vlanRequest(name, parent.index, vlan));
  } catch (error) {
    if (!(error instanceof WherryError) || error.details?.errno !== 'ENOTSUP') throw error;
    throw new WherryError('unsupported', `failed to create ${name} vlan link: operation not supported`, {
      cause: error,
    });
  }
}

/** Whether a new network's parent is an interface that is made for it, or for another network that still has it. */
export function hasOwnParent(host: HostSide, network: LiveNetwork, others: readonly LiveNetwork[]): boolean {
  const { parent } = network.options;
  if (parent === undefined) return false;
  return (
    findLink(host.socket, parent) === undefined ||
    others.some(({ options, record }) => options.parent === parent && record.ownParent === true)
  );
}

/** Removes what stands in for a parent, and a parent that was made for networks of which the last goes. */
export function lowerParent(host: HostSide, network: LiveNetwork, others: readonly LiveNetwork[]): void {
  const { parent } = network.options;
  if (parent === undefined) host.deleteLinkNamed(standInName(network.record.id));
  else if (network.record.ownParent === true && !others.some(({ options }) => options.parent === parent))
    host.deleteLinkNamed(parent);
}
