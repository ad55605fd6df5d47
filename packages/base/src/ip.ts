import { isIPv4, isIPv6 } from 'node:net';
import { WherryError } from './errors.ts';

/** The 4 or 16 bytes of an address in text; `undefined` for anything else (also for zone suffixes). */
export function parseIp(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  return isIPv6(text) && !text.includes('%') ? parseIpv6(text) : undefined;
}

function parseIpv6(text: string): Uint8Array {
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] =>
    part === ''
      ? []
      : part.split(':').flatMap((group) => {
          if (!group.includes('.')) return [Number.parseInt(group, 16)];
          const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
          return [a * 256 + b, c * 256 + d];
        });
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const words = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 255]));
}

/** The text of 4 or 16 bytes; IPv6 in the canonical form of RFC 5952. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) => (bytes[2 * i] ?? 0) * 256 + (bytes[2 * i + 1] ?? 0));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && words[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = (part: number[]): string => part.map((word) => word.toString(16)).join(':');
  if (best.start < 0) return hex(words);
  return `${hex(words.slice(0, best.start))}::${hex(words.slice(best.start + best.length))}`;
}

/** A range of addresses; `address` keeps the host bits that the text had. */
export interface Cidr {
  readonly address: Uint8Array;
  readonly prefix: number;
}

/** Parses `10.0.0.0/8`; throws `invalid`. */
export function parseCidr(text: string): Cidr {
  const [, host = '', length = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const address = parseIp(host);
  const prefix = Number(length);
  if (address === undefined || prefix > address.length * 8) {
    throw new WherryError('invalid', `"${text}" is not an address range such as 10.0.0.0/8`);
  }
  return { address, prefix };
}

/** Whether the range holds the address; never across families. */
export function cidrContains(range: Cidr, address: Uint8Array): boolean {
  if (range.address.length !== address.length) return false;
  for (let bit = 0; bit < range.prefix; bit += 8) {
    const mask = range.prefix - bit >= 8 ? 255 : 256 - 2 ** (8 - (range.prefix - bit));
    if (((range.address[bit / 8] ?? 0) & mask) !== ((address[bit / 8] ?? 0) & mask)) return false;
  }
  return true;
}

/** Whether two ranges share an address. */
export function cidrsOverlap(one: Cidr, other: Cidr): boolean {
  return one.prefix <= other.prefix ? cidrContains(one, other.address) : cidrContains(other, one.address);
}

/** The address `offset` places after the start of an IPv4 range; throws `invalid` outside of it. */
export function ipv4At(range: Cidr, offset: number): string {
  const size = 2 ** (32 - range.prefix);
  if (range.address.length !== 4 || offset < 0 || offset >= size) {
    throw new WherryError('invalid', `the address range has no address number ${offset}`);
  }
  const start = Buffer.from(range.address).readUInt32BE(0);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(start - (start % size) + offset);
  return formatIp(bytes);
}
