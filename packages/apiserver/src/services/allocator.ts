import { type FieldError, field, type V1Service } from '@wherry/api';
import type { Random } from '@wherry/base';
import type { Claim, ResourceHooks } from '../pipeline/core.ts';
import type { ResourceCache, Watcher } from '../registry/resource-cache.ts';
import { type AddressRange, addressNumber, addressText } from './address-range.ts';

/** Numbers of a range that are taken: by objects in the cache, or by writes under way. */
class Pool {
  readonly first: number;
  readonly size: number;
  readonly #holders = new Map<number, number>();

  constructor(first: number, size: number) {
    this.first = first;
    this.size = size;
  }

  has(value: number): boolean {
    return value >= this.first && value < this.first + this.size;
  }

  isTaken(value: number): boolean {
    return this.#holders.has(value);
  }

  take(value: number): void {
    this.#holders.set(value, (this.#holders.get(value) ?? 0) + 1);
  }

  give(value: number): void {
    const holders = this.#holders.get(value) ?? 0;
    if (holders <= 1) this.#holders.delete(value);
    else this.#holders.set(value, holders - 1);
  }

  /** A free number out of `[from, to)` relative to the start, beginning anywhere; `undefined` when all are taken. */
  free(random: Random, from: number, to: number): number | undefined {
    const count = to - from;
    if (count <= 0) return undefined;
    const start = Number.parseInt(random.hex(8), 16) % count;
    for (let step = 0; step < count; step++) {
      const value = this.first + from + ((start + step) % count);
      if (!this.#holders.has(value)) return value;
    }
    return undefined;
  }
}

export interface AllocatorOptions {
  readonly range: AddressRange;
  readonly ports: { readonly from: number; readonly to: number };
  readonly random: Random;
  readonly portHolder?: NodePortHolder | undefined;
}

/** Who besides the services has a port of the nodes, by name. */
export type NodePortHolder = (port: {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly hostPort: number;
}) => string | undefined;

/**
 * Gives services their cluster IPs and node ports. What the cache holds is taken; a write under
 * way holds its numbers until the cache has them, so that two writes never get the same.
 */
export class ServiceAllocator implements ResourceHooks {
  readonly #addresses: Pool;
  readonly #ports: Pool;
  readonly #options: AllocatorOptions;

  constructor(services: ResourceCache, options: AllocatorOptions) {
    this.#options = options;
    // The network's address and the broadcast address are never given.
    this.#addresses = new Pool(options.range.first + 1, options.range.size - 2);
    this.#ports = new Pool(options.ports.from, options.ports.to - options.ports.from + 1);
    for (const { object } of services.range('')) this.#hold(object as V1Service, 1);
    const watcher: Watcher = {
      namespace: '',
      deliver: (events) => {
        for (const event of events) {
          if (event.previous !== undefined) this.#hold(event.previous.object as V1Service, -1);
          if (event.type !== 'DELETED') this.#hold(event.current.object as V1Service, 1);
        }
      },
      fail: () => undefined,
    };
    services.watch(watcher);
  }

  #hold(service: V1Service, change: 1 | -1): void {
    for (const address of addressesOf(service))
      change === 1 ? this.#addresses.take(address) : this.#addresses.give(address);
    for (const port of portsOf(service)) change === 1 ? this.#ports.take(port) : this.#ports.give(port);
  }

  claim(draft: V1Service, old: V1Service | undefined): Claim {
    const taken: (() => void)[] = [];
    const errors: FieldError[] = [];
    const spec = draft.spec ?? {};
    this.#claimAddress(spec, new Set(old === undefined ? [] : addressesOf(old)), taken, errors);
    this.#claimPorts(spec, new Set(old === undefined ? [] : portsOf(old)), taken, errors);
    return {
      errors,
      release: () => {
        for (const give of taken.splice(0)) give();
      },
    };
  }

  #claimAddress(
    spec: NonNullable<V1Service['spec']>,
    own: ReadonlySet<number>,
    taken: (() => void)[],
    errors: FieldError[],
  ): void {
    if (spec.type === 'ExternalName') {
      delete spec.clusterIP;
      delete spec.clusterIPs;
      return;
    }
    if (!spec.clusterIP && spec.clusterIPs?.[0]) spec.clusterIP = spec.clusterIPs[0];
    if (spec.clusterIP === 'None') {
      spec.clusterIPs = ['None'];
      return;
    }
    const pool = this.#addresses;
    let address: number | undefined;
    if (spec.clusterIP) {
      address = addressNumber(spec.clusterIP);
      if (address === undefined) return; // validation named it already
      if (!pool.has(address)) {
        const detail = `failed to allocate IP ${spec.clusterIP}: the provided IP (${spec.clusterIP}) is not in the valid range. The range of valid IPs is ${this.#options.range.text}`;
        errors.push(field.invalid('spec.clusterIPs', [spec.clusterIP], detail));
        return;
      }
      if (own.has(address)) return;
      if (pool.isTaken(address)) {
        const detail = `failed to allocate IP ${spec.clusterIP}: provided IP is already allocated`;
        errors.push(field.invalid('spec.clusterIPs', [spec.clusterIP], detail));
        return;
      }
    } else {
      // The lower part of the range is left for addresses that people choose (KEP-3070).
      const { size } = this.#options.range;
      const reserved = Math.min(Math.max(16, Math.floor(size / 16)), 256);
      const random = this.#options.random;
      address = pool.free(random, size > 64 ? reserved : 0, pool.size) ?? pool.free(random, 0, pool.size);
      if (address === undefined) {
        errors.push({
          type: 'Internal',
          field: 'spec.clusterIPs',
          detail: 'failed to allocate a serviceIP: range is full',
        });
        return;
      }
      spec.clusterIP = addressText(address);
    }
    spec.clusterIPs = [spec.clusterIP];
    const held = address;
    pool.take(held);
    taken.push(() => pool.give(held));
  }

  #claimPorts(
    spec: NonNullable<V1Service['spec']>,
    own: ReadonlySet<number>,
    taken: (() => void)[],
    errors: FieldError[],
  ): void {
    const wanted =
      spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false);
    const { from, to } = this.#options.ports;
    const used = new Map<number, Set<string>>();
    const hold = (port: number): void => {
      this.#ports.take(port);
      taken.push(() => this.#ports.give(port));
    };
    (spec.ports ?? []).forEach((entry, index) => {
      const protocol = entry.protocol ?? 'TCP';
      const path = `spec.ports[${index}].nodePort`;
      if (entry.nodePort) {
        const port = entry.nodePort;
        // One number may serve TCP and UDP of the same service.
        const shared = used.get(port);
        if (shared !== undefined && !shared.has(protocol)) {
          shared.add(protocol);
          return;
        }
        if (!this.#ports.has(port)) {
          errors.push(
            field.invalid(
              path,
              port,
              `provided port is not in the valid range. The range of valid ports is ${from}-${to}`,
            ),
          );
        } else if (shared !== undefined || (this.#ports.isTaken(port) && !own.has(port))) {
          errors.push(field.invalid(path, port, 'provided port is already allocated'));
        } else if (!own.has(port) && this.#holderOf(port, protocol) !== undefined) {
          const holder = this.#holderOf(port, protocol);
          errors.push(field.invalid(path, port, `provided port is already allocated: ${holder} publishes it`));
        } else {
          used.set(port, new Set([protocol]));
          if (!own.has(port)) hold(port);
        }
        return;
      }
      if (!wanted) return;
      const port = this.#freePort(protocol);
      if (port === undefined) {
        errors.push({ type: 'Internal', field: path, detail: 'failed to allocate a nodePort: range is full' });
        return;
      }
      entry.nodePort = port;
      used.set(port, new Set([protocol]));
      hold(port);
    });
    this.#claimHealthPort(spec, own, hold, errors);
  }

  #holderOf(hostPort: number, protocol: string): string | undefined {
    return this.#options.portHolder?.({ protocol: protocol as 'TCP', hostPort });
  }

  /** Passes over those that somebody else publishes. */
  #freePort(protocol: string): number | undefined {
    const passed: number[] = [];
    try {
      for (;;) {
        const port = this.#ports.free(this.#options.random, 0, this.#ports.size);
        if (port === undefined || this.#holderOf(port, protocol) === undefined) return port;
        this.#ports.take(port);
        passed.push(port);
      }
    } finally {
      for (const port of passed) this.#ports.give(port);
    }
  }

  #claimHealthPort(
    spec: NonNullable<V1Service['spec']>,
    own: ReadonlySet<number>,
    hold: (port: number) => void,
    errors: FieldError[],
  ): void {
    if (spec.type !== 'LoadBalancer' || spec.externalTrafficPolicy !== 'Local') return;
    const asked = spec.healthCheckNodePort;
    if (asked && own.has(asked)) return;
    if (asked && this.#ports.isTaken(asked)) {
      errors.push(field.invalid('spec.healthCheckNodePort', asked, 'provided port is already allocated'));
      return;
    }
    const port = asked || this.#ports.free(this.#options.random, 0, this.#ports.size);
    if (!port) return;
    spec.healthCheckNodePort = port;
    hold(port);
  }
}

function addressesOf(service: V1Service): number[] {
  const { clusterIP, type } = service.spec ?? {};
  if (!clusterIP || clusterIP === 'None' || type === 'ExternalName') return [];
  const number = addressNumber(clusterIP);
  return number === undefined ? [] : [number];
}

function portsOf(service: V1Service): number[] {
  const spec = service.spec ?? {};
  const ports = new Set((spec.ports ?? []).map((entry) => entry.nodePort ?? 0));
  if (spec.healthCheckNodePort) ports.add(spec.healthCheckNodePort);
  ports.delete(0);
  return [...ports];
}
