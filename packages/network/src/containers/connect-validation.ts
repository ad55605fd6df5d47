import { cidrContains, parseCidr, parseIp, WherryError } from '@wherry/base';
import type { ConnectRequest, NetworkRecord } from '../container-networks.ts';

const mostAliases = 1024;

/** Addresses that a container asks for in a network. */
export type WantedAddresses = Pick<ConnectRequest, 'ipv4' | 'ipv6' | 'linkLocal'>;

/** Checks how a container wants to be connected. Throws `invalid` in docker's words. */
export function checkConnect(record: NetworkRecord, request: ConnectRequest): void {
  const { ipv4, ipv6, mac, aliases = [], interfaceName } = request;
  if (record.predefined) {
    if (ipv4 !== undefined || ipv6 !== undefined) {
      throw new WherryError('invalid', 'user specified IP address is supported on user defined networks only');
    }
    if (aliases.length > 0) {
      throw new WherryError(
        'invalid',
        'network-scoped alias is supported only for containers in user defined networks',
      );
    }
  }
  const problems = addressProblems(record, request);
  if (aliases.length > mostAliases) problems.push(`more than ${mostAliases} aliases`);
  if (problems.length > 0) {
    throw new WherryError('invalid', `invalid endpoint settings:\n${problemLines(problems)}`);
  }
  const elsewhere = request.linkLocal?.find((address) => !isLinkLocal(address));
  if (elsewhere !== undefined) throw new WherryError('invalid', `invalid link local IP address: ${elsewhere}`);
  if (mac !== undefined && !/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(mac)) {
    throw new WherryError('invalid', `invalid MAC address: ${mac}`);
  }
  if (interfaceName !== undefined && !/^[^\s/:]{1,15}$/.test(interfaceName)) {
    throw new WherryError('invalid', `invalid interface name: ${interfaceName}`);
  }
}

/** What is wrong with the addresses that a container wants to have in a network, in docker's words and order. */
export function addressProblems(record: NetworkRecord, wanted: WantedAddresses): string[] {
  return [
    ...formatProblems(wanted),
    ...rangeProblems(record, 4, wanted.ipv4),
    ...rangeProblems(record, 6, wanted.ipv6),
  ];
}

/** The same of what can be said without a network. */
export function formatProblems({ ipv4, ipv6, linkLocal = [] }: WantedAddresses): string[] {
  return [
    ...(ipv4 === undefined || isAddress(ipv4, 4) ? [] : [`invalid IPv4 address: ${ipv4}`]),
    ...(ipv6 === undefined || isAddress(ipv6, 16) ? [] : [`invalid IPv6 address: ${ipv6}`]),
    ...linkLocal.flatMap((address) =>
      parseIp(address) === undefined ? [`invalid link-local IP address: ${address}`] : [],
    ),
  ];
}

/** One problem in a line of its own, several as a list. */
export function problemLines(problems: readonly string[]): string {
  return problems.length === 1 ? problems[0]! : problems.map((problem) => `* ${problem}`).join('\n');
}

const linkLocalRanges = ['169.254.0.0/16', 'fe80::/10'].map(parseCidr);

function isLinkLocal(address: string): boolean {
  const bytes = parseIp(address);
  return bytes !== undefined && linkLocalRanges.some((range) => cidrContains(range, bytes));
}

function isAddress(text: string, length: 4 | 16): boolean {
  const bytes = parseIp(text);
  return bytes?.length === length && bytes.some((byte) => byte !== 0);
}

/** Addresses are the user's to choose in subnets that are. */
function rangeProblems(record: NetworkRecord, family: 4 | 6, address: string | undefined): string[] {
  if (address === undefined) return [];
  const subnets = record.ipam.pools.map(({ subnet }) => parseCidr(subnet));
  const isOwn = (record.chosen ?? []).includes(family) || !subnets.some((range) => familyOf(range.address) === family);
  if (isOwn) {
    return ['user specified IP address is supported only when connecting to networks with user configured subnets'];
  }
  const bytes = parseIp(address);
  return bytes !== undefined && subnets.some((range) => cidrContains(range, bytes))
    ? []
    : [`no configured subnet or ip-range contain the IP address ${address}`];
}

function familyOf({ length }: Uint8Array): 4 | 6 {
  return length === 4 ? 4 : 6;
}
