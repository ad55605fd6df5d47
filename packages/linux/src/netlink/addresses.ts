import { formatIp, parseCidr } from '@wherry/base';
import { decodeAttributes, encodeAttributes } from './attributes.ts';
import { createFlag, type NetlinkRequest, type NetlinkSocket } from './netlink-socket.ts';

const newAddress = 20;
const deleteAddress = 21;
const getAddress = 22;
const attribute = { address: 1, local: 2, broadcast: 4, flags: 8 } as const;
const noPrefixRoute = 0x200;
const noDuplicateDetection = 0x02;
const inet = { 4: 2, 16: 10 } as const;

/** An address of an interface. */
export interface InterfaceAddress {
  readonly index: number;
  readonly address: string;
  readonly prefix: number;
}

/** `struct ifaddrmsg` and attributes (rtnetlink(7)). */
function addressBody(index: number, cidr: string, flags: number, broadcast = false): Buffer {
  const { address, prefix } = parseCidr(cidr);
  const header = Buffer.alloc(8);
  header[0] = address.length === 16 ? inet[16] : inet[4];
  header[1] = prefix;
  header.writeUInt32LE(index, 4);
  const attributes = encodeAttributes([
    [attribute.local, address],
    [attribute.address, address],
    [attribute.broadcast, broadcast && address.length === 4 && prefix < 31 ? lastOf(address, prefix) : undefined],
    [attribute.flags, flags === 0 ? undefined : flags],
  ]);
  return Buffer.concat([header, attributes]);
}

/** The last address of an IPv4 range. */
function lastOf(address: Uint8Array, prefix: number): Uint8Array {
  return address.map((byte, index) => byte | (255 >> Math.min(Math.max(prefix - index * 8, 0), 8)));
}

/**
 * Gives an interface an address such as `10.0.0.1/24`. `prefixRoute: false` adds no route for the range,
 * `broadcast` sets the range's last address as the one for all, `unique` has an IPv6 address ready at once
 * instead of asking the others first whether one of them has it.
 */
export function addAddressRequest(
  index: number,
  cidr: string,
  { prefixRoute = true, broadcast = false, unique = false } = {},
): NetlinkRequest {
  return {
    what: `add address ${cidr}`,
    type: newAddress,
    flags: createFlag.create | createFlag.exclusive,
    body: addressBody(
      index,
      cidr,
      (prefixRoute ? 0 : noPrefixRoute) | (unique && cidr.includes(':') ? noDuplicateDetection : 0),
      broadcast,
    ),
  };
}

/** Takes an address away. */
export function deleteAddressRequest(index: number, cidr: string): NetlinkRequest {
  return { what: `delete address ${cidr}`, type: deleteAddress, body: addressBody(index, cidr, 0) };
}

/** All addresses of the socket's namespace. */
export function listAddresses(socket: NetlinkSocket): InterfaceAddress[] {
  const found: InterfaceAddress[] = [];
  for (const { type, body } of socket.dump({ what: 'list addresses', type: getAddress, body: Buffer.alloc(8) })) {
    const attributes = decodeAttributes(body.subarray(8));
    const address = attributes.get(attribute.local) ?? attributes.get(attribute.address);
    if (type !== newAddress || address === undefined) continue;
    found.push({ index: body.readUInt32LE(4), address: formatIp(address), prefix: body[1] ?? 0 });
  }
  return found;
}
