import { formatIp, parseIp, WherryError } from '@wherry/base';
import type { ConnectRequest, NetworkRecord } from '../container-networks.ts';

/** What a network's addresses are, as far as a request for one depends on it. */
export interface NetworkAddresses {
  /** Whether the user chose the subnet of the family. */
  readonly chosen4: boolean;
  readonly chosen6: boolean;
  contains(address: string): boolean;
}

const mostAliases = 1024;

/** Checks how a container wants to be connected. Throws `invalid` in docker's words. */
export function checkConnect(record: NetworkRecord, request: ConnectRequest, addresses: NetworkAddresses): void {
  const { ipv4, ipv6, mac, aliases = [], interfaceName } = request;
  const problems: string[] = [];
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
  if (ipv4 !== undefined && !isAddress(ipv4, 4)) problems.push(`invalid IPv4 address: ${ipv4}`);
  if (ipv6 !== undefined && !isAddress(ipv6, 16)) problems.push(`invalid IPv6 address: ${ipv6}`);
  if (problems.length === 0) {
    problems.push(
      ...rangeProblems(ipv4, addresses.chosen4, addresses),
      ...rangeProblems(ipv6, addresses.chosen6, addresses),
    );
  }
  if (aliases.length > mostAliases) problems.push(`more than ${mostAliases} aliases`);
  if (problems.length > 0) {
    throw new WherryError('invalid', `invalid endpoint settings:\n${problemLines(problems)}`);
  }
  if (mac !== undefined && !/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(mac)) {
    throw new WherryError('invalid', `invalid MAC address: ${mac}`);
  }
  if (interfaceName !== undefined && !/^[^\s/:]{1,15}$/.test(interfaceName)) {
    throw new WherryError('invalid', `invalid interface name: ${interfaceName}`);
  }
}

/** One problem in a line of its own, several as a list. */
function problemLines(problems: readonly string[]): string {
  return problems.length === 1 ? problems[0]! : problems.map((problem) => `* ${problem}`).join('\n');
}

function isAddress(text: string, length: 4 | 16): boolean {
  const bytes = parseIp(text);
  return bytes?.length === length && bytes.some((byte) => byte !== 0);
}

function rangeProblems(address: string | undefined, chosen: boolean, addresses: NetworkAddresses): string[] {
  if (address === undefined) return [];
  if (!chosen) {
    return ['user specified IP address is supported only when connecting to networks with user configured subnets'];
  }
  return addresses.contains(formatIp(parseIp(address)!))
    ? []
    : [`no configured subnet or ip-range contain the IP address ${address}`];
}
