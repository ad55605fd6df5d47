import { type Cidr, cidrsOverlap, parseCidr, WherryError } from '@wherry/base';
import { addressOf, boundsOf } from './address-pool.ts';

/** A range that is cut into subnets of a size. */
export interface DefaultPool {
  readonly base: string;
  /** Prefix length of each subnet. */
  readonly size: number;
}

/** Docker's, in its order. */
export const dockerPools: readonly DefaultPool[] = [
  { base: '172.17.0.0/16', size: 16 },
  { base: '172.18.0.0/16', size: 16 },
  { base: '172.19.0.0/16', size: 16 },
  { base: '172.20.0.0/14', size: 16 },
  { base: '172.24.0.0/14', size: 16 },
  { base: '172.28.0.0/14', size: 16 },
  { base: '192.168.0.0/16', size: 20 },
];

/** More subnets of one pool than this are not tried. */
const mostTried = 65_536n;

/** The first subnet of the pools that overlaps none of these. Throws `conflict` in docker's words. */
export function chooseSubnet(pools: readonly DefaultPool[], used: readonly Cidr[], family: 4 | 6): string {
  for (const { base, size } of pools) {
    const range = parseCidr(base);
    const length = range.address.length;
    if (length !== (family === 4 ? 4 : 16)) continue;
    const step = 1n << BigInt(length * 8 - size);
    const { first, last } = boundsOf(range);
    for (let at = first, tried = 0n; at <= last && tried < mostTried; at += step, tried++) {
      const subnet = `${addressOf(at, length)}/${size}`;
      if (!used.some((other) => cidrsOverlap(parseCidr(subnet), other))) return subnet;
    }
  }
  throw new WherryError(
    'conflict',
    `could not find an available, non-overlapping IPv${family} address pool among the defaults to assign to the network`,
  );
}
