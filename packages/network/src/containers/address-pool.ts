import { type Cidr, cidrContains, formatIp, parseCidr, parseIp, WherryError } from '@wherry/base';
import type { IpamPool } from '../container-networks.ts';

/** The number of an address, and back. */
export function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** The address of a number; `length` is 4 or 16 bytes. */
export function addressOf(number: bigint, length: number): string {
  const bytes = new Uint8Array(length);
  for (let at = length - 1, rest = number; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 255n);
  return formatIp(bytes);
}

/** First and last number of a range. */
export function boundsOf({ address, prefix }: Cidr): { first: bigint; last: bigint } {
  const size = 1n << BigInt(address.length * 8 - prefix);
  const first = (numberOf(address) / size) * size;
  return { first, last: first + size - 1n };
}

/**
 * The addresses of a network's subnet. The lowest free one of the range is given out, as docker does; the
 * subnet's own address and, for IPv4, the one for all are never.
 */
export class AddressPool {
  readonly gateway: string;
  readonly prefix: number;
  readonly subnet: Cidr;
  readonly #length: number;
  readonly #usable: { first: bigint; last: bigint };
  readonly #range: { first: bigint; last: bigint };
  readonly #taken = new Set<bigint>();
  /** No address of the range below this is free. */
  #lowest: bigint;

  /** Takes a pool whose parts were checked. Throws `exhausted` when not even the gateway has room. */
  constructor({ subnet, ipRange, gateway, auxiliaryAddresses = {} }: IpamPool) {
    this.subnet = parseCidr(subnet);
    this.prefix = this.subnet.prefix;
    this.#length = this.subnet.address.length;
    const whole = boundsOf(this.subnet);
    // RFC 3021 and RFC 6164: links of two and single addresses have none to spare.
    const spare = this.#length * 8 - this.prefix > 1;
    this.#usable = {
      first: spare ? whole.first + 1n : whole.first,
      last: spare && this.#length === 4 ? whole.last - 1n : whole.last,
    };
    const range = ipRange === undefined ? whole : boundsOf(parseCidr(ipRange));
    this.#range = {
      first: larger(range.first, this.#usable.first),
      last: smaller(range.last, this.#usable.last),
    };
    this.#lowest = this.#range.first;
    for (const address of Object.values(auxiliaryAddresses)) this.#taken.add(numberOf(parseIp(address)!));
    if (gateway === undefined) {
      this.gateway = this.take();
    } else {
      this.gateway = formatIp(parseIp(gateway)!);
      this.#taken.add(numberOf(parseIp(gateway)!));
    }
  }

  /** How many addresses are taken, the gateway included. */
  get size(): number {
    return this.#taken.size;
  }

  contains(address: string): boolean {
    const bytes = parseIp(address);
    return bytes !== undefined && cidrContains(this.subnet, bytes);
  }

  /** The lowest free address, or the one asked for. Throws `exhausted`, `forbidden` (`Address already in use`). */
  take(wanted?: string): string {
    if (wanted !== undefined) return this.#takeThis(wanted);
    while (this.#lowest <= this.#range.last && this.#taken.has(this.#lowest)) this.#lowest++;
    if (this.#lowest > this.#range.last) throw new WherryError('exhausted', 'all addresses of the range are in use');
    const number = this.#lowest++;
    this.#taken.add(number);
    return addressOf(number, this.#length);
  }

  /** Gives an address back; the gateway stays. */
  release(address: string): void {
    const bytes = parseIp(address);
    if (bytes === undefined || formatIp(bytes) === this.gateway) return;
    const number = numberOf(bytes);
    if (this.#taken.delete(number) && number >= this.#range.first && number < this.#lowest) this.#lowest = number;
  }

  #takeThis(wanted: string): string {
    const bytes = parseIp(wanted);
    const number = bytes?.length === this.#length ? numberOf(bytes) : -1n;
    if (bytes === undefined || !cidrContains(this.subnet, bytes)) {
      throw new WherryError('invalid', `no configured subnet or ip-range contain the IP address ${wanted}`);
    }
    // The subnet's own address and the one for all are nobody's.
    const isSpare = number < this.#usable.first || number > this.#usable.last;
    if (isSpare || this.#taken.has(number)) throw new WherryError('forbidden', 'Address already in use');
    this.#taken.add(number);
    return addressOf(number, this.#length);
  }
}

function larger(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}

function smaller(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}
