import { cidrContains, formatIp, parseCidr, parseIp, WherryError } from '@wherry/base';
import type { EndpointRecord, NetworkRecord } from '../container-networks.ts';
import { AddressPool } from './address-pool.ts';
import type { RuledNetwork } from './container-rules.ts';
import { type DriverOptions, readDriverOptions } from './driver-options.ts';
import type { EndpointFile } from './records.ts';

/** A network and who is in it, in memory. */
export class LiveNetwork implements RuledNetwork {
  record: NetworkRecord;
  readonly options: DriverOptions;
  readonly pool4: AddressPool | undefined;
  readonly pool6: AddressPool | undefined;
  /** Index of its bridge (or of the parent of its interfaces) once this process has brought it up. */
  device: number | undefined;
  /** Somebody removes it: nobody may join. */
  removed = false;
  readonly #byContainer = new Map<string, EndpointFile>();
  readonly #containerNames = new Set<string>();
  readonly #byName = new Map<string, Set<EndpointRecord>>();

  constructor(record: NetworkRecord) {
    this.record = record;
    this.options = readDriverOptions(record.options);
    const poolOf = (length: number): AddressPool | undefined => {
      if (record.configOnly === true) return undefined;
      const pool = record.ipam.pools.find(({ subnet }) => parseCidr(subnet).address.length === length);
      return pool && new AddressPool(pool);
    };
    this.pool4 = record.enableIPv4 ? poolOf(4) : undefined;
    this.pool6 = record.enableIPv6 ? poolOf(16) : undefined;
  }

  get bridge(): string {
    return this.record.bridge ?? '';
  }

  get subnet4(): string | undefined {
    return subnetOf(this.record, this.pool4, 4);
  }

  get subnet6(): string | undefined {
    return subnetOf(this.record, this.pool6, 16);
  }

  /** What its containers send to, to get elsewhere. */
  gateway(family: 4 | 6): string | undefined {
    if (this.record.internal) return undefined;
    if (this.record.driver === 'ipvlan' && this.options.ipvlanMode !== 'l2') return undefined;
    return (family === 4 ? this.pool4 : this.pool6)?.gateway;
  }

  contains(address: string): boolean {
    const bytes = parseIp(address);
    return (
      bytes !== undefined &&
      [this.pool4, this.pool6].some((pool) => pool !== undefined && cidrContains(pool.subnet, bytes))
    );
  }

  hasContainerNamed(name: string): boolean {
    return this.#containerNames.has(name);
  }

  get endpoints(): readonly EndpointFile[] {
    return [...this.#byContainer.values()];
  }

  get size(): number {
    return this.#byContainer.size;
  }

  endpointOf(containerId: string): EndpointFile | undefined {
    return this.#byContainer.get(containerId);
  }

  /** Enters an endpoint, in the place of the one that the container has; its addresses are taken by the caller. */
  put(endpoint: EndpointFile): void {
    const before = this.#byContainer.get(endpoint.record.containerId);
    if (before !== undefined) this.#forgetNames(before.record);
    this.#byContainer.set(endpoint.record.containerId, endpoint);
    this.#containerNames.add(endpoint.record.containerName);
    // The others see a container while it runs.
    if (endpoint.netns === undefined) return;
    for (const name of endpoint.record.dnsNames) {
      const key = name.toLowerCase();
      const known = this.#byName.get(key) ?? new Set();
      this.#byName.set(key, known.add(endpoint.record));
    }
  }

  /** Takes an endpoint out with its names and addresses. */
  drop(containerId: string): EndpointFile | undefined {
    const endpoint = this.#byContainer.get(containerId);
    if (endpoint === undefined) return undefined;
    this.#byContainer.delete(containerId);
    this.#forgetNames(endpoint.record);
    this.release(endpoint.record);
    return endpoint;
  }

  release({ ipv4, ipv6 }: Pick<EndpointRecord, 'ipv4' | 'ipv6'>): void {
    if (ipv4 !== undefined) this.pool4?.release(ipv4.address);
    if (ipv6 !== undefined) this.pool6?.release(ipv6.address);
  }

  /** Takes the addresses of an endpoint that was on disk. */
  adopt(endpoint: EndpointFile): void {
    const { ipv4, ipv6 } = endpoint.record;
    if (ipv4 !== undefined) this.pool4?.take(ipv4.address);
    if (ipv6 !== undefined) this.pool6?.take(ipv6.address);
    this.put(endpoint);
  }

  /** An address of the pool, or the one asked for. Throws in docker's words. */
  take(family: 4 | 6, wanted: string | undefined): string | undefined {
    const pool = family === 4 ? this.pool4 : this.pool6;
    if (pool === undefined) return undefined;
    try {
      return pool.take(wanted);
    } catch (error) {
      if ((error as WherryError).code !== 'exhausted') throw error;
      const { name, id } = this.record;
      throw new WherryError(
        'exhausted',
        `no available IPv${family} addresses on this network's address pools: ${name} (${id})`,
      );
    }
  }

  /** The running containers that have a name here (in lower case). */
  named(name: string): readonly EndpointRecord[] {
    return [...(this.#byName.get(name) ?? [])];
  }

  /** The running container that has an address here. */
  at(address: string): EndpointRecord | undefined {
    if (!this.contains(address)) return undefined;
    const wanted = formatIp(parseIp(address)!);
    for (const { record, netns } of this.#byContainer.values()) {
      if (netns !== undefined && (record.ipv4?.address === wanted || record.ipv6?.address === wanted)) return record;
    }
    return undefined;
  }

  #forgetNames(record: EndpointRecord): void {
    this.#containerNames.delete(record.containerName);
    for (const name of record.dnsNames) {
      const key = name.toLowerCase();
      const known = this.#byName.get(key);
      known?.delete(record);
      if (known?.size === 0) this.#byName.delete(key);
    }
  }
}

function subnetOf(record: NetworkRecord, pool: AddressPool | undefined, length: number): string | undefined {
  if (pool === undefined) return undefined;
  return record.ipam.pools.find(({ subnet }) => parseCidr(subnet).address.length === length)?.subnet;
}
