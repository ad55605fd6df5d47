import { closeSync, openSync } from 'node:fs';
import type { Attribute } from './attributes.ts';
import { createLinkRequest, type LinkSettings } from './links.ts';
import type { NetlinkRequest, NetlinkSocket } from './netlink-socket.ts';

/** MACVLAN_MODE_*, IPVLAN_MODE_* and IPVLAN_F_* (linux/if_link.h). */
const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const;
const ipvlanFlags = { bridge: 0, private: 1, vepa: 2 } as const;
const mode = 1;
const flags = 2;
const vlanId = 1;

/** How an interface shares its parent's link. */
export type SharedLink =
  | { readonly kind: 'macvlan'; readonly mode: keyof typeof macvlanModes }
  | { readonly kind: 'ipvlan'; readonly mode: keyof typeof ipvlanModes; readonly flag: keyof typeof ipvlanFlags };

/** An interface in another namespace that shares the link of one in the socket's. */
export interface ChildLink {
  readonly name: string;
  /** Index of the parent, in the socket's namespace. */
  readonly parent: number;
  /** Path of the namespace in which it appears. */
  readonly netns: string;
  readonly link: SharedLink;
  readonly settings: Omit<LinkSettings, 'name' | 'alias' | 'master' | 'up'>;
}

/** Makes a macvlan or ipvlan interface straight inside a namespace. Throws `unsupported` where the kernel lacks the kind. */
export function createChildLink(socket: NetlinkSocket, { name, parent, netns, link, settings }: ChildLink): void {
  const descriptor = openSync(netns, 'r');
  try {
    socket.execute(createLinkRequest(link.kind, name, { ...settings, parent, netns: descriptor }, dataOf(link)));
  } finally {
    closeSync(descriptor);
  }
}

function dataOf(link: SharedLink): Attribute[] {
  if (link.kind === 'macvlan') return [[mode, macvlanModes[link.mode]]];
  return [
    [mode, u16(ipvlanModes[link.mode])],
    [flags, ipvlanFlags[link.flag] === 0 ? undefined : u16(ipvlanFlags[link.flag])],
  ];
}

/** Makes the interface of a VLAN (IEEE 802.1Q) on a parent, up. */
export function vlanRequest(name: string, parent: number, id: number): NetlinkRequest {
  return createLinkRequest('vlan', name, { parent, up: true }, [[vlanId, u16(id)]]);
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 255, value >> 8);
}
