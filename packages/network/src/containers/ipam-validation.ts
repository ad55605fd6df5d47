import { type Cidr, cidrContains, cidrsOverlap, parseCidr, parseIp, WherryError } from '@wherry/base';
import type { IpamPool } from '../container-networks.ts';
import { addressOf, boundsOf } from './address-pool.ts';

/** Most pools and auxiliary addresses of one network. */
const most = 64;

/** A range as docker takes it: `undefined` for what is none. */
export function cidrOf(text: string): Cidr | undefined {
  try {
    return parseCidr(text);
  } catch {
    return undefined;
  }
}

/** The range with its host bits cleared. */
export function maskedText(range: Cidr): string {
  return `${addressOf(boundsOf(range).first, range.address.length)}/${range.prefix}`;
}

/** Checks pools as dockerd does (`ValidateIPAM`). Throws `invalid` with a line for everything that is wrong. */
export function checkPools(pools: readonly IpamPool[], enableIPv6: boolean): void {
  const problems =
    pools.length > most ? [`more than ${most} pools`] : pools.flatMap((pool) => problemsOf(pool, enableIPv6));
  if (problems.length > 0) throw new WherryError('invalid', `invalid network config:\n${problems.join('\n')}`);
}

function problemsOf({ subnet, ipRange, gateway, auxiliaryAddresses = {} }: IpamPool, enableIPv6: boolean): string[] {
  const range = cidrOf(subnet);
  if (range === undefined) return [`invalid subnet ${subnet}: invalid CIDR block notation`];
  // Without IPv6 such a pool is not used, and not looked at.
  if (range.address.length === 16 && !enableIPv6) return [];
  const problems: string[] = [];
  if (!isMasked(range)) problems.push(`invalid subnet ${subnet}: it should be ${maskedText(range)}`);
  if (ipRange !== undefined && ipRange !== '') problems.push(...rangeProblems(ipRange, range, subnet));
  if (gateway !== undefined && gateway !== '')
    problems.push(...addressProblems('gateway', gateway, gateway, range, subnet));
  const auxiliary = Object.entries(auxiliaryAddresses);
  if (auxiliary.length > most) problems.push(`more than ${most} auxiliary addresses`);
  for (const [name, address] of auxiliary.slice(0, most)) {
    problems.push(...addressProblems('auxiliary address', name, address, range, subnet));
  }
  return problems;
}

function rangeProblems(text: string, subnet: Cidr, subnetText: string): string[] {
  const range = cidrOf(text);
  const invalid = (why: string): string => `invalid ip-range ${text}: ${why}`;
  if (range === undefined) return [invalid('invalid CIDR block notation')];
  if (range.address.length !== subnet.address.length) return [invalid(`parent subnet is an ${familyOf(subnet)} block`)];
  const problems: string[] = [];
  if (range.prefix < subnet.prefix) problems.push(invalid(`CIDR block is bigger than its parent subnet ${subnetText}`));
  if (!isMasked(range)) problems.push(invalid(`it should be ${maskedText(range)}`));
  if (!cidrsOverlap(subnet, range)) problems.push(invalid(`parent subnet ${subnetText} doesn't contain ip-range`));
  return problems;
}

function addressProblems(kind: string, name: string, text: string, subnet: Cidr, subnetText: string): string[] {
  const address = parseIp(text);
  const invalid = (why: string): string[] => [`invalid ${kind} ${name}: ${why}`];
  if (address === undefined) return invalid('invalid address');
  if (address.length !== subnet.address.length) return invalid(`parent subnet is an ${familyOf(subnet)} block`);
  return cidrContains(subnet, address) ? [] : invalid(`parent subnet ${subnetText} doesn't contain this address`);
}

function isMasked(range: Cidr): boolean {
  return cidrContains(
    { address: parseCidr(maskedText(range)).address, prefix: range.address.length * 8 },
    range.address,
  );
}

function familyOf({ address }: Cidr): string {
  return address.length === 4 ? 'IPv4' : 'IPv6';
}
