import { closeSync, openSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import { type Attribute, decodeAttributes, encodeAttributes, textOf } from './attributes.ts';
import { createFlag, type NetlinkRequest, type NetlinkSocket } from './netlink-socket.ts';

const newLink = 16;
const deleteLinkType = 17;
const getLink = 18;
const attribute = {
  address: 1,
  name: 3,
  mtu: 4,
  master: 10,
  queueLength: 13,
  linkInfo: 18,
  alias: 20,
  link: 5,
  netnsFd: 28,
} as const;
const info = { kind: 1, data: 2, portKind: 4, portData: 5 } as const;
/** IFLA_BRPORT_MODE and IFLA_BRPORT_ISOLATED (linux/if_link.h). */
const port = { hairpin: 4, isolated: 33 } as const;
const vethPeer = 1;
const flagUp = 1;
/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: string;
  /** Index of the bridge that it is a port of. */
  readonly master: number | undefined;
  /** `bridge`, `veth`, `dummy` …; `undefined` for hardware and loopback. */
  readonly kind: string | undefined;
  readonly alias: string | undefined;
}

/** What can be set on a link. */
export interface LinkSettings {
  readonly up?: boolean | undefined;
  readonly name?: string | undefined;
  /** Bytes. */
  readonly mtu?: number | undefined;
  /** Six bytes as `02:00:00:00:00:01`. */
  readonly mac?: string | undefined;
  /** Packets that may wait to be sent (`txqueuelen`). */
  readonly queueLength?: number | undefined;
  /** Index of a bridge; 0 for none. */
  readonly master?: number | undefined;
  /** A comment that tools show; the kernel ignores it while a link is made. */
  readonly alias?: string | undefined;
}

/** The body of an rtnetlink link message: `struct ifinfomsg` and attributes (rtnetlink(7)). */
function linkBody(index: number, up: boolean | undefined, attributes: readonly Attribute[]): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE(up === true ? flagUp : 0, 8);
  header.writeUInt32LE(up === undefined ? 0 : flagUp, 12);
  return Buffer.concat([header, encodeAttributes(attributes)]);
}

function settingsOf(settings: LinkSettings): Attribute[] {
  if (settings.name !== undefined && !/^[^\s/:]{1,15}$/.test(settings.name)) {
    throw new WherryError(
      'invalid',
      `"${settings.name}" is not an interface name (1 to 15 characters, no space, / or :)`,
    );
  }
  return [
    [attribute.name, settings.name],
    [attribute.mtu, settings.mtu],
    [attribute.queueLength, settings.queueLength],
    [attribute.address, settings.mac === undefined ? undefined : macBytes(settings.mac)],
    [attribute.master, settings.master],
    [attribute.alias, settings.alias],
  ];
}

function macBytes(mac: string): Uint8Array {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) throw new WherryError('invalid', `"${mac}" is not a MAC address`);
  return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
}

/** Where a new link belongs: the index of its parent and a descriptor of its namespace. */
interface Placement {
  readonly parent?: number | undefined;
  readonly netns?: number | undefined;
}

/** Makes a link of a kind, with the kind's own attributes. */
export function createLinkRequest(
  kind: string,
  name: string,
  settings: LinkSettings & Placement,
  data?: readonly Attribute[],
): NetlinkRequest {
  return {
    what: `create ${kind} ${name}`,
    type: newLink,
    flags: createFlag.create | createFlag.exclusive,
    body: linkBody(0, settings.up, [
      ...settingsOf({ ...settings, name }),
      [attribute.link, settings.parent],
      [attribute.netnsFd, settings.netns],
      [
        attribute.linkInfo,
        [
          [info.kind, kind],
          [info.data, data],
        ],
      ],
    ]),
  };
}

/** Makes a bridge. Fails with `alreadyExists`. */
export function bridgeRequest(name: string, settings: Omit<LinkSettings, 'name'> = {}): NetlinkRequest {
  return createLinkRequest('bridge', name, settings);
}

/** Makes a dummy interface. */
export function dummyRequest(name: string, settings: Omit<LinkSettings, 'name'> = {}): NetlinkRequest {
  return createLinkRequest('dummy', name, settings);
}

/** A pair of virtual Ethernet interfaces: this end in the socket's namespace, the peer in another. */
export interface VethPair {
  readonly name: string;
  readonly settings: Omit<LinkSettings, 'name' | 'alias'>;
  /** It cannot be set up in the same message: veth refuses while the pair is not tied together (`ENOTCONN`). */
  readonly peer: Omit<LinkSettings, 'up'> & { readonly name: string; readonly netns: string };
}

/**
 * Makes a veth pair in one message, the peer straight inside its namespace (veth(4)), and does what follows with
 * the same system call.
 */
export function createVeth(
  socket: NetlinkSocket,
  { name, settings, peer }: VethPair,
  following: readonly NetlinkRequest[] = [],
): void {
  const netns = openSync(peer.netns, 'r');
  try {
    const peerBody = linkBody(0, undefined, [...settingsOf(peer), [attribute.netnsFd, netns]]);
    socket.batch([createLinkRequest('veth', name, settings, [[vethPeer, peerBody]]), ...following]);
  } finally {
    closeSync(netns);
  }
}

/** Changes a link. */
export function setLinkRequest(index: number, settings: LinkSettings): NetlinkRequest {
  return {
    what: `change interface ${settings.name ?? index}`,
    type: newLink,
    body: linkBody(index, settings.up, settingsOf(settings)),
  };
}

/** Lets a port of a bridge get back what came in through it, or not. */
export function hairpinRequest(name: string, on: boolean): NetlinkRequest {
  return bridgePortRequest(name, { hairpin: on });
}

/** What can be set on a port of a bridge. */
export interface BridgePortSettings {
  /** It gets back what came in through it. */
  readonly hairpin?: boolean | undefined;
  /** It exchanges nothing with other isolated ports, only with the bridge itself. */
  readonly isolated?: boolean | undefined;
}

/** Changes a port of a bridge by its interface's name. */
export function bridgePortRequest(name: string, { hairpin, isolated }: BridgePortSettings): NetlinkRequest {
  const byte = (on: boolean | undefined) => (on === undefined ? undefined : Uint8Array.of(on ? 1 : 0));
  const data: Attribute[] = [
    [info.portKind, 'bridge'],
    [
      info.portData,
      [
        [port.hairpin, byte(hairpin)],
        [port.isolated, byte(isolated)],
      ],
    ],
  ];
  return {
    what: `change bridge port ${name}`,
    type: newLink,
    body: linkBody(0, undefined, [
      [attribute.name, name],
      [attribute.linkInfo, data],
    ]),
  };
}

/** Deletes a link by index. For a veth with an address in use this blocks some 15 ms: drop its namespace where there is one. */
export function deleteLinkRequest(index: number): NetlinkRequest {
  return { what: `delete interface ${index}`, type: deleteLinkType, body: linkBody(index, undefined, []) };
}

/** The link of that name, or `undefined`. */
export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  try {
    const request = {
      what: `find interface ${name}`,
      type: getLink,
      body: linkBody(0, undefined, [[attribute.name, name]]),
    };
    return linkOf(socket.get(request).body);
  } catch (error) {
    if (error instanceof WherryError && error.code === 'notFound') return undefined;
    throw error;
  }
}

/** All links of the socket's namespace. */
export function listLinks(socket: NetlinkSocket): Link[] {
  return socket
    .dump({ what: 'list interfaces', type: getLink, body: linkBody(0, undefined, []) })
    .filter((message) => message.type === newLink)
    .map((message) => linkOf(message.body));
}

function linkOf(body: Buffer): Link {
  const attributes = decodeAttributes(body.subarray(16));
  const linkInfo = attributes.get(attribute.linkInfo);
  return {
    index: body.readInt32LE(4),
    up: (body.readUInt32LE(8) & flagUp) !== 0,
    name: textOf(attributes.get(attribute.name)) ?? '',
    mtu: attributes.get(attribute.mtu)?.readUInt32LE(0) ?? 0,
    mac: Array.from(attributes.get(attribute.address) ?? [], (byte) => byte.toString(16).padStart(2, '0')).join(':'),
    master: attributes.get(attribute.master)?.readUInt32LE(0),
    kind: linkInfo === undefined ? undefined : textOf(decodeAttributes(linkInfo).get(info.kind)),
    alias: textOf(attributes.get(attribute.alias)),
  };
}
