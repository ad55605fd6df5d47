import { formatIp, parseCidr, parseIp, WherryError } from '@wherry/base';
import { decodeAttributes, encodeAttributes } from './attributes.ts';
import { createFlag, type NetlinkRequest, type NetlinkSocket } from './netlink-socket.ts';

const newRoute = 24;
const deleteRoute = 25;
const getRoute = 26;
const attribute = { destination: 1, device: 4, gateway: 5, metric: 6, source: 7, table: 15 } as const;
const mainTable = 254;
const protocolStatic = 4;
const onLink = 4;
const scope = { global: 0, link: 253 } as const;
const inet = { 4: 2, 16: 10 } as const;
const types = { unicast: 1, local: 2, broadcast: 3, multicast: 5, blackhole: 6, unreachable: 7, prohibit: 8 } as const;
const typeNames = new Map<number, keyof typeof types>(
  Object.entries(types).map(([name, number]) => [number, name as keyof typeof types]),
);

/** A route of the main table. */
export interface Route {
  /** `10.0.0.0/8`; the default route is `0.0.0.0/0` or `::/0`. */
  readonly destination: string;
  readonly type?: keyof typeof types | undefined; // default unicast
  readonly via?: string | undefined;
  /** Index of the interface. */
  readonly device?: number | undefined;
  /** Lower wins; default 0. */
  readonly metric?: number | undefined;
  /** The address that local processes send from. */
  readonly source?: string | undefined;
  /** The gateway is reachable through the device although no route says so. */
  readonly onLink?: boolean | undefined;
}

function bytesOf(address: string | undefined): Uint8Array | undefined {
  if (address === undefined) return undefined;
  const bytes = parseIp(address);
  if (bytes === undefined) throw new WherryError('invalid', `"${address}" is not an IP address`);
  return bytes;
}

/** `struct rtmsg` and attributes (rtnetlink(7)). */
function routeBody(route: Route): Buffer {
  const { address, prefix } = parseCidr(route.destination);
  const type = types[route.type ?? 'unicast'];
  const header = Buffer.alloc(12);
  header[0] = address.length === 16 ? inet[16] : inet[4];
  header[1] = prefix;
  header[4] = mainTable;
  header[5] = protocolStatic;
  header[6] = type === types.unicast && route.via === undefined ? scope.link : scope.global;
  header[7] = type;
  header.writeUInt32LE(route.onLink ? onLink : 0, 8);
  const attributes = encodeAttributes([
    [attribute.destination, prefix === 0 ? undefined : address],
    [attribute.device, route.device],
    [attribute.gateway, bytesOf(route.via)],
    [attribute.metric, route.metric],
    [attribute.source, bytesOf(route.source)],
  ]);
  return Buffer.concat([header, attributes]);
}

/** Adds a route; fails with `alreadyExists` for the same destination and metric. */
export function addRouteRequest(route: Route): NetlinkRequest {
  return {
    what: `add route to ${route.destination}`,
    type: newRoute,
    flags: createFlag.create | createFlag.exclusive,
    body: routeBody(route),
  };
}

/** Puts a route in the place of the one with the same destination and metric, or adds it. */
export function replaceRouteRequest(route: Route): NetlinkRequest {
  return {
    what: `set route to ${route.destination}`,
    type: newRoute,
    flags: createFlag.create | createFlag.replace,
    body: routeBody(route),
  };
}

/** Deletes the route with this destination, type and metric. */
export function deleteRouteRequest(route: Route): NetlinkRequest {
  return { what: `delete route to ${route.destination}`, type: deleteRoute, body: routeBody(route) };
}

/** The routes of the main table of the socket's namespace. */
export function listRoutes(socket: NetlinkSocket): Route[] {
  const found: Route[] = [];
  for (const { type, body } of socket.dump({ what: 'list routes', type: getRoute, body: Buffer.alloc(12) })) {
    const attributes = decodeAttributes(body.subarray(12));
    const table = attributes.get(attribute.table)?.readUInt32LE(0) ?? body[4];
    const kind = typeNames.get(body[7] ?? 0);
    if (type !== newRoute || table !== mainTable || kind === undefined) continue;
    const any = body[0] === inet[16] ? new Uint8Array(16) : new Uint8Array(4);
    const gateway = attributes.get(attribute.gateway);
    found.push({
      destination: `${formatIp(attributes.get(attribute.destination) ?? any)}/${body[1] ?? 0}`,
      type: kind,
      via: gateway && formatIp(gateway),
      device: attributes.get(attribute.device)?.readUInt32LE(0),
      metric: attributes.get(attribute.metric)?.readUInt32LE(0) ?? 0,
    });
  }
  return found;
}
