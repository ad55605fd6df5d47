import { cidrsOverlap, codeOf, parseCidr, WherryError } from '@wherry/base';
import {
  addRouteRequest,
  deleteRouteRequest,
  findLink,
  listAddresses,
  listRoutes,
  type NetlinkSocket,
  type Route,
} from '@wherry/linux';

/** Worse than any route that means it: it speaks only when no other does. */
const lastMetric = 4_000_000;

const fence = (range: string): Route => ({ destination: range, type: 'unreachable', metric: lastMetric });

/** Makes the ranges unreachable wherever no better route exists, so that nothing addressed to them leaves by the default route. */
export function raiseFence(socket: NetlinkSocket, ranges: readonly string[]): void {
  for (const range of ranges) {
    try {
      socket.execute(addRouteRequest(fence(range)));
    } catch (error) {
      if (codeOf(error) !== 'alreadyExists') throw error;
    }
  }
}

/** Takes the fence down; what is not there is no error. */
export function lowerFence(socket: NetlinkSocket, ranges: readonly string[]): void {
  for (const range of ranges) {
    try {
      socket.execute(deleteRouteRequest(fence(range)));
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error;
    }
  }
}

/** Throws `conflict` when the node already uses one of the ranges through an interface that is not the bridge. */
export function checkRangesFree(socket: NetlinkSocket, bridge: string, ranges: readonly string[]): void {
  const own = findLink(socket, bridge)?.index;
  const parsed = ranges.map((text) => ({ text, range: parseCidr(text) }));
  const refuse = (cidr: string, what: string): void => {
    const hit = parsed.find(({ range }) => cidrsOverlap(range, parseCidr(cidr)));
    if (hit) throw new WherryError('conflict', `the range ${hit.text} overlaps ${what} ${cidr} of this machine`);
  };
  for (const { index, address } of listAddresses(socket)) {
    if (index !== own) refuse(`${address}/${address.includes(':') ? 128 : 32}`, 'the address');
  }
  for (const { destination, device } of listRoutes(socket)) {
    // Default routes are what the fence is for; routes without a device are fences themselves.
    if (device !== undefined && device !== own && !destination.endsWith('/0')) refuse(destination, 'the route');
  }
}
