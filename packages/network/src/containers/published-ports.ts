import { codeOf, formatIp, type Logger, messageOf, parseIp, WherryError } from '@wherry/base';
import type { PortRequest, PublishedPort } from '../container-networks.ts';
import { isSamePort, type MachinePort, type PortHolder } from '../machine-port.ts';
import { isAny, type PortRule } from './container-rules.ts';
import { holdPublishedPort, portInUse } from './held-port.ts';
import type { HostSide } from './host-side.ts';
import type { NetworkRecords } from './records.ts';

/** Where a container is reached; what it lacks is `undefined`. */
export interface Reach {
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  /** The network's choice of where ports without an address are published. */
  readonly hostBinding: string | undefined;
}

interface Published {
  readonly ports: readonly PublishedPort[];
  held: AsyncDisposable[];
  rules: readonly PortRule[];
  reach: Reach;
}

/** What `PublishedPorts` works with. */
export interface PublishedPortsOptions {
  readonly host: HostSide;
  readonly records: NetworkRecords;
  readonly netns: string | undefined;
  readonly log: Logger;
  /** Who else publishes a port of the machine. */
  readonly portHolder?: PortHolder | undefined;
}

/** Ports that are chosen when the request leaves them open. */
const chosen = { first: 32_768, last: 60_999 } as const;
const mostPorts = 65_536;

/** Which ports of the machine lead to which containers. */
export class PublishedPorts {
  readonly #options: PublishedPortsOptions;
  readonly #byContainer = new Map<string, Published>();
  /** Of `tcp/80`: the addresses on which it is taken. */
  readonly #taken = new Map<string, Set<string>>();
  /** The port chosen last, of each protocol. */
  readonly #last = new Map<string, number>();

  constructor(options: PublishedPortsOptions) {
    this.#options = options;
  }

  of(containerId: string): readonly PublishedPort[] {
    return this.#byContainer.get(containerId)?.ports ?? [];
  }

  /** The id of the container that publishes a port. */
  holder(port: MachinePort): string | undefined {
    for (const [id, { ports }] of this.#byContainer) if (ports.some((other) => isSamePort(other, port))) return id;
    return undefined;
  }

  get containers(): readonly string[] {
    return [...this.#byContainer.keys()];
  }

  rules(): readonly PortRule[] {
    return [...this.#byContainer.values()].flatMap(({ rules }) => rules);
  }

  /** Publishes all ports or none. Throws `conflict`, `invalid`. */
  async publish(
    containerId: string,
    requests: readonly PortRequest[],
    reach: Reach,
  ): Promise<readonly PublishedPort[]> {
    if (requests.length > mostPorts) throw new WherryError('invalid', 'too many ports');
    await this.unpublish(containerId);
    const published: Published = { ports: [], held: [], rules: [], reach };
    const ports: PublishedPort[] = [];
    try {
      for (const request of requests) {
        const { taken, held } = await this.#take(request, reach, containerId);
        ports.push(...taken);
        published.held.push(...held);
      }
      await this.#enter(containerId, { ...published, ports, rules: rulesOf(ports, reach) });
    } catch (error) {
      this.#byContainer.delete(containerId);
      for (const port of ports) this.#give(port);
      await this.#close(published.held);
      throw error;
    }
    return ports;
  }

  async #enter(containerId: string, published: Published): Promise<void> {
    const { host, records } = this.#options;
    if (published.ports.length === 0) return;
    this.#byContainer.set(containerId, published);
    records.writeNow('ports', containerId, { containerId, ports: published.ports });
    try {
      host.addPorts(published.rules);
    } catch (error) {
      await records.remove('ports', containerId);
      throw error;
    }
  }

  /** Takes over ports that were published in an earlier life of the process; the rules are written by the caller. */
  async adopt(containerId: string, ports: readonly PublishedPort[], reach: Reach): Promise<void> {
    const published: Published = { ports, held: [], rules: rulesOf(ports, reach), reach };
    this.#byContainer.set(containerId, published);
    for (const port of ports) {
      this.#mark(port);
      try {
        published.held.push(await this.#hold(containerId, port));
      } catch (error) {
        this.#options.log.warn('a published port was taken meanwhile', {
          containerId,
          ...port,
          error: messageOf(error),
        });
      }
    }
  }

  /** Leads a container's ports to other addresses of it. */
  retarget(containerId: string, reach: Reach): void {
    const published = this.#byContainer.get(containerId);
    if (published === undefined) return;
    const rules = rulesOf(published.ports, reach);
    published.reach = reach;
    if (JSON.stringify(rules) === JSON.stringify(published.rules)) return;
    this.#options.host.changePorts(published.rules, rules);
    published.rules = rules;
  }

  /** Idempotent. */
  async unpublish(containerId: string): Promise<void> {
    const published = this.#byContainer.get(containerId);
    if (published === undefined) return;
    this.#options.host.changePorts(published.rules, []);
    this.#byContainer.delete(containerId);
    for (const port of published.ports) this.#give(port);
    await this.#close(published.held);
    await this.#options.records.remove('ports', containerId);
  }

  /** Lets the ports go without changing what is published. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const published of this.#byContainer.values()) await this.#close(published.held.splice(0));
  }

  async #take(request: PortRequest, reach: Reach, containerId: string) {
    const { protocol, containerPort } = request;
    const addresses = addressesOf(request.hostIp, reach);
    let failure: unknown;
    for (const hostPort of this.#candidates(request, addresses)) {
      const taken: PublishedPort[] = [];
      const held: AsyncDisposable[] = [];
      try {
        for (const hostIp of addresses) {
          const port = { protocol, containerPort, hostIp, hostPort };
          this.#claim(port);
          taken.push(port);
          const hold = await this.#hold(containerId, port).catch((error: unknown) => {
            // A machine without IPv6 publishes on what it has.
            if (request.hostIp || !hostIp.includes(':') || codeOf(error) === 'conflict') throw error;
            taken.pop();
            this.#give(port);
            return undefined;
          });
          if (hold !== undefined) held.push(hold);
        }
        return { taken, held };
      } catch (error) {
        for (const port of taken) this.#give(port);
        await this.#close(held);
        // An address that the machine lacks has no other port either.
        const errno = (error as WherryError).details?.errno ?? 'EADDRINUSE';
        if (codeOf(error) !== 'conflict' || errno !== 'EADDRINUSE') throw error;
        failure = error;
      }
    }
    const isRange = Array.isArray(request.hostPort);
    throw isRange || failure === undefined ? new WherryError('conflict', 'all ports are allocated') : failure;
  }

  /** Host ports to try, in order. */
  *#candidates({ hostPort, containerPort, protocol }: PortRequest, addresses: readonly string[]): Generator<number> {
    const check = (port: number, least: number): number => {
      if (Number.isInteger(port) && port >= least && port <= 65_535) return port;
      throw new WherryError('invalid', `invalid port ${port}`);
    };
    check(containerPort, 1);
    if (Array.isArray(hostPort)) {
      const [first, last] = hostPort as readonly [number, number];
      if (check(first, 1) > check(last, 1)) throw new WherryError('invalid', `invalid port range ${first}-${last}`);
      for (let port = first; port <= last; port++) yield port;
      return;
    }
    const wanted = check((hostPort as number | undefined) ?? 0, 0);
    if (wanted !== 0) return yield wanted;
    const size = chosen.last - chosen.first + 1;
    const start = (this.#last.get(`any ${protocol}`) ?? chosen.last) - chosen.first + 1;
    for (let tried = 0; tried < size; tried++) {
      const port = chosen.first + ((start + tried) % size);
      const isTaken = (hostIp: string): boolean => {
        const wanted = { protocol, hostIp, hostPort: port };
        return this.#rival(wanted) !== undefined || this.#options.portHolder?.(wanted) !== undefined;
      };
      if (addresses.some(isTaken)) continue;
      this.#last.set(`any ${protocol}`, port);
      yield port;
    }
  }

  #hold(containerId: string, port: PublishedPort): Promise<AsyncDisposable> {
    return holdPublishedPort(this.#options, port, () => {
      const reach = this.#byContainer.get(containerId)?.reach;
      const address = port.hostIp.includes(':') ? (reach?.ipv6 ?? reach?.ipv4) : (reach?.ipv4 ?? reach?.ipv6);
      return address === undefined ? undefined : { address, port: port.containerPort };
    }).catch((error: unknown) => {
      // Without sockets of the protocol nobody else can take the port either.
      if (codeOf(error) === 'unsupported' && port.protocol === 'SCTP')
        return { [Symbol.asyncDispose]: async () => undefined };
      throw error;
    });
  }

  #claim(port: PublishedPort): void {
    const rival = this.#rival(port);
    if (rival === port.hostIp) {
      throw new WherryError('conflict', `Bind for ${port.hostIp}:${port.hostPort} failed: port is already allocated`);
    }
    if (rival !== undefined) throw portInUse(port);
    const holder = this.#options.portHolder?.(port);
    if (holder !== undefined) {
      const words = `Bind for ${port.hostIp}:${port.hostPort} failed: port is already allocated`;
      throw new WherryError('conflict', `${words}: it is a host port of ${holder}`);
    }
    this.#mark(port);
  }

  #mark({ protocol, hostIp, hostPort }: PublishedPort): void {
    const key = `${protocol}/${hostPort}`;
    this.#taken.set(key, (this.#taken.get(key) ?? new Set()).add(hostIp));
  }

  /** An address on which the port is taken, and which another one of the family cannot share. */
  #rival({ protocol, hostIp, hostPort }: Omit<PublishedPort, 'containerPort'>): string | undefined {
    const addresses = this.#taken.get(`${protocol}/${hostPort}`) ?? [];
    return [...addresses].find(
      (other) => other.includes(':') === hostIp.includes(':') && (isAny(other) || isAny(hostIp) || other === hostIp),
    );
  }

  #give({ protocol, hostIp, hostPort }: PublishedPort): void {
    const key = `${protocol}/${hostPort}`;
    const addresses = this.#taken.get(key);
    addresses?.delete(hostIp);
    if (addresses?.size === 0) this.#taken.delete(key);
  }

  async #close(held: readonly AsyncDisposable[]): Promise<void> {
    for (const port of held) await port[Symbol.asyncDispose]();
  }
}

/** The addresses of the machine on which a port is published. */
function addressesOf(hostIp: string | undefined, { hostBinding }: Reach): readonly string[] {
  const wanted = hostIp || hostBinding;
  if (wanted === undefined || (!hostIp && isAny(wanted))) return ['0.0.0.0', '::'];
  const bytes = parseIp(wanted.replace(/^\[(.*)\]$/, '$1'));
  if (bytes === undefined) throw new WherryError('invalid', `invalid IP address: ${wanted}`);
  return [formatIp(bytes)];
}

/** Ports of one family lead to the container's address of that family; the others are carried by their sockets. */
function rulesOf(ports: readonly PublishedPort[], { ipv4, ipv6 }: Reach): PortRule[] {
  return ports.flatMap((port) => {
    const target = port.hostIp.includes(':') ? ipv6 : ipv4;
    // The kernel takes nothing back from the outside for ::1, as it does for 127.0.0.1 where it is told to.
    return target === undefined || port.hostIp === '::1' ? [] : [{ ...port, target }];
  });
}
