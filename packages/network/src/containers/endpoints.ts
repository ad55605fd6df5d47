import { existsSync } from 'node:fs';
import { formatIp, type Logger, messageOf, parseIp, type Random, WherryError } from '@wherry/base';
import type { ConnectRequest, EndpointRecord } from '../container-networks.ts';
import { attachToBridge, type DefaultRoutes, macOf, removeInside, setDefaultRoutes } from './attach.ts';
import { checkConnect } from './connect-validation.ts';
import { byGateway, type GatewayCandidate } from './gateway-order.ts';
import type { HostSide } from './host-side.ts';
import type { LiveNetwork } from './live-network.ts';
import type { PublishedPorts, Reach } from './published-ports.ts';
import type { EndpointFile, NetworkRecords } from './records.ts';
import { attachToParent } from './shared-links.ts';

/** What `Endpoints` works with. */
export interface EndpointsParts {
  readonly host: HostSide;
  readonly records: NetworkRecords;
  readonly published: PublishedPorts;
  readonly networks: () => readonly LiveNetwork[];
  readonly raise: (network: LiveNetwork) => Promise<void>;
  readonly log: Logger;
  readonly random: Random;
}

/** An endpoint with its network. */
export interface Connection extends EndpointFile {
  readonly network: LiveNetwork;
}

/** Who is connected to what. Calls for one container come one at a time. */
export class Endpoints {
  readonly #parts: EndpointsParts;
  /** Networks of each container, so that nothing is searched. */
  readonly #networksOf = new Map<string, Set<LiveNetwork>>();
  /** Of containers that run, the numbers that their interfaces get next, by what stands before them. */
  readonly #nextNumbers = new Map<string, Map<string, number>>();

  constructor(parts: EndpointsParts) {
    this.#parts = parts;
    for (const network of parts.networks()) {
      for (const { record } of network.endpoints) this.#remember(record.containerId, network);
    }
  }

  get containers(): readonly string[] {
    return [...this.#networksOf.keys()];
  }

  /** A container's connections, that with the default route first. */
  of(containerId: string): readonly Connection[] {
    const networks = [...(this.#networksOf.get(containerId) ?? [])];
    return networks
      .flatMap((network): Connection[] => {
        const endpoint = network.endpointOf(containerId);
        return endpoint === undefined ? [] : [{ ...endpoint, network }];
      })
      .sort((one, other) => byGateway(candidateOf(one), candidateOf(other)));
  }

  async connect(network: LiveNetwork, request: ConnectRequest): Promise<EndpointRecord> {
    const { records, log } = this.#parts;
    if (network.record.configOnly === true) {
      throw new WherryError('forbidden', 'cannot create endpoint on configuration-only network');
    }
    const reserved = this.#reservation(network, request);
    checkConnect(network.record, request);
    const record = this.#newRecord(network, request, reserved?.record);
    const { containerId, netns } = request;
    try {
      if (network.removed) throw new WherryError('notFound', `network ${network.record.name} not found`);
      network.put({ record, netns });
      this.#remember(containerId, network);
      records.writeNow('endpoints', record.id, { record, netns });
      if (netns !== undefined) await this.#attach(network, record, netns);
    } catch (error) {
      if (network.endpointOf(containerId)?.record !== record) network.release(record);
      await this.disconnect(network, containerId, netns).catch((again: unknown) =>
        log.error('taking back a failed connection failed too', { containerId, error: messageOf(again) }),
      );
      throw error;
    }
    return record;
  }

  /** Without `netns` the container's run is over. Idempotent. */
  async disconnect(network: LiveNetwork, containerId: string, netns?: string): Promise<void> {
    if (netns === undefined) this.#nextNumbers.delete(containerId);
    const endpoint = network.drop(containerId);
    if (endpoint === undefined) return;
    this.#forget(containerId, network);
    const { record } = endpoint;
    try {
      const lives = netns !== undefined && endpoint.netns !== undefined && existsSync(netns);
      if (lives) this.#removeInterface(network, record, netns);
      this.#lead(containerId, lives);
    } finally {
      await this.#parts.records.remove('endpoints', record.id);
    }
  }

  /** Enters a container under another name. */
  rename(containerId: string, name: string): void {
    for (const { network, record, netns } of this.of(containerId)) {
      const dnsNames = record.dnsNames.map((known) => (known === record.containerName ? name : known));
      const renamed = { ...record, containerName: name, dnsNames: [...new Set(dnsNames)] };
      network.put({ record: renamed, netns });
      this.#parts.records.writeNow('endpoints', record.id, { record: renamed, netns });
    }
  }

  /** Only what was made for the endpoint, never another interface of the same name inside. */
  #removeInterface({ record: { driver } }: LiveNetwork, record: EndpointRecord, netns: string): void {
    const { host } = this.#parts;
    if (driver === 'bridge') host.deleteLinkNamed(host.linkName(record.id));
    else if (driver === 'macvlan' || driver === 'ipvlan') removeInside(netns, record.interfaceName);
  }

  /** Puts a missing interface of a running container back; drops the endpoint when that fails. */
  async repair(network: LiveNetwork, { record, netns }: EndpointFile): Promise<void> {
    try {
      if (netns === undefined) return;
      await this.#attach(network, record, netns);
    } catch (error) {
      this.#parts.log.warn('a container lost its connection to a network', {
        container: record.containerName,
        network: network.record.name,
        error: messageOf(error),
      });
      await this.disconnect(network, record.containerId);
    }
  }

  /** Where a container's published ports lead: its addresses in the networks that its default routes go to. */
  reach(containerId: string): Reach {
    const connections = this.of(containerId).filter(({ netns }) => netns !== undefined);
    const through = (family: 4 | 6): Connection | undefined => {
      const first = connections.find(({ network }) => network.gateway(family) !== undefined);
      return first?.network.record.driver === 'bridge' ? first : undefined;
    };
    const [four, six] = [through(4), through(6)];
    return {
      ipv4: four?.record.ipv4?.address,
      ipv6: six?.record.ipv6?.address,
      hostBinding: (four ?? six)?.network.options.hostBinding,
    };
  }

  async #attach(network: LiveNetwork, record: EndpointRecord, netns: string): Promise<void> {
    const { host, raise, published } = this.#parts;
    const { containerId, interfaceName } = record;
    if (interfaceName !== '') {
      const { routes } = this.#routesOf(containerId);
      if (network.record.driver !== 'bridge') {
        attachToParent(host, network, { record, netns, routes });
      } else {
        await raise(network);
        try {
          attachToBridge(host, network, { record, netns, routes });
        } catch (error) {
          if (host.isRaised(network)) throw error;
          // Somebody deleted the bridge.
          network.device = undefined;
          await raise(network);
          attachToBridge(host, network, { record, netns, routes });
        }
      }
    }
    published.retarget(containerId, this.reach(containerId));
  }

  /** Leads a container's default routes, when its namespace lives, and its published ports where they belong now. */
  #lead(containerId: string, lives: boolean): void {
    const { routes, netns } = this.#routesOf(containerId);
    if (lives && netns !== undefined && (routes.ipv4 ?? routes.ipv6) !== undefined) setDefaultRoutes(netns, routes);
    this.#parts.published.retarget(containerId, this.reach(containerId));
  }

  #routesOf(containerId: string): { readonly routes: DefaultRoutes; readonly netns: string | undefined } {
    const connections = this.of(containerId).filter(({ netns }) => netns !== undefined);
    const through = (family: 4 | 6) => {
      const first = connections.find(({ network }) => network.gateway(family) !== undefined);
      return first && { device: first.record.interfaceName, via: first.network.gateway(family)! };
    };
    return { routes: { ipv4: through(4), ipv6: through(6) }, netns: connections[0]?.netns };
  }

  /** The address that was set aside for a container; throws when it is connected or its name is taken. */
  #reservation(network: LiveNetwork, { containerId, containerName, netns }: ConnectRequest): EndpointFile | undefined {
    const known = network.endpointOf(containerId);
    const taken =
      known !== undefined
        ? known.netns !== undefined || netns === undefined
        : network.hasContainerNamed(nameOf(containerName));
    if (!taken) return known;
    const { name } = network.record;
    throw new WherryError('forbidden', `endpoint with name ${nameOf(containerName)} already exists in network ${name}`);
  }

  #newRecord(network: LiveNetwork, request: ConnectRequest, reserved: EndpointRecord | undefined): EndpointRecord {
    const { containerId, aliases = [], hostname, gatewayPriority = 0, driverOptions = {} } = request;
    const { ipv4, ipv6 } = this.#takeAddresses(network, request, reserved);
    const containerName = nameOf(request.containerName);
    const isUsers = !network.record.predefined;
    const names = [containerName, ...aliases, containerId.slice(0, 12), ...(hostname ? [hostname] : [])];
    const hasInterface = network.record.driver !== 'host' && network.record.driver !== 'null';
    return {
      id: reserved?.id ?? this.#parts.random.hex(64),
      networkId: network.record.id,
      containerId,
      containerName,
      interfaceName: hasInterface ? (request.interfaceName ?? this.#nextName(request, network, driverOptions)) : '',
      ipv4: ipv4 === undefined ? undefined : addressIn(network, 4, ipv4),
      ipv6: ipv6 === undefined ? undefined : addressIn(network, 6, ipv6),
      mac: hasInterface ? (request.mac?.replaceAll('-', ':').toLowerCase() ?? this.#newMac(ipv4)) : '',
      ...(hasInterface && request.linkLocal?.length
        ? { linkLocal: request.linkLocal.map((address) => plain(address)!) }
        : {}),
      aliases,
      dnsNames: isUsers ? [...new Set(names.filter((name) => name !== ''))] : [],
      gatewayPriority,
      driverOptions,
    };
  }

  #takeAddresses(network: LiveNetwork, request: ConnectRequest, reserved: EndpointRecord | undefined) {
    // What was set aside is given back first, so that it can be had again.
    if (reserved !== undefined) network.release(reserved);
    let ipv4: string | undefined;
    try {
      ipv4 = network.take(4, plain(request.ipv4) ?? reserved?.ipv4?.address);
      return { ipv4, ipv6: network.take(6, plain(request.ipv6) ?? reserved?.ipv6?.address) };
    } catch (error) {
      if (ipv4 !== undefined) network.pool4?.release(ipv4);
      if (reserved?.ipv4 !== undefined) network.take(4, reserved.ipv4.address);
      if (reserved?.ipv6 !== undefined) network.take(6, reserved.ipv6.address);
      throw error;
    }
  }

  /** The next `ethN`; while the container runs, none that it ever had. */
  #nextName(
    { containerId, netns }: ConnectRequest,
    network: LiveNetwork,
    options: Readonly<Record<string, string>>,
  ): string {
    const asked = options['com.docker.network.endpoint.ifname'];
    if (asked !== undefined) {
      if (/^[^\s/:]{1,15}$/.test(asked)) return asked;
      throw new WherryError('invalid', `invalid interface name: ${asked}`);
    }
    const { interfacePrefix: prefix } = network.options;
    // What is set aside for one that does not run is numbered when it starts.
    const runs = netns !== undefined;
    const others = this.of(containerId).filter((of) => of.network !== network && (of.netns !== undefined) === runs);
    const numbers = others.flatMap(({ record: { interfaceName } }) => {
      const rest = interfaceName.startsWith(prefix) ? interfaceName.slice(prefix.length) : '';
      return /^\d{1,9}$/.test(rest) ? [Number(rest) + 1] : [];
    });
    const next = this.#nextNumbers.get(containerId) ?? new Map<string, number>();
    const number = Math.max(0, next.get(prefix) ?? 0, ...numbers);
    if (runs) this.#nextNumbers.set(containerId, next.set(prefix, number + 1));
    return `${prefix}${number}`;
  }

  #newMac(ipv4: string | undefined): string {
    return ipv4 === undefined ? `02:42:${this.#parts.random.hex(8).match(/../g)!.join(':')}` : macOf(ipv4);
  }

  #remember(containerId: string, network: LiveNetwork): void {
    const known = this.#networksOf.get(containerId) ?? new Set();
    this.#networksOf.set(containerId, known.add(network));
  }

  #forget(containerId: string, network: LiveNetwork): void {
    const known = this.#networksOf.get(containerId);
    known?.delete(network);
    if (known?.size === 0) this.#networksOf.delete(containerId);
  }
}

function candidateOf({ record, network }: Connection): GatewayCandidate {
  return { gatewayPriority: record.gatewayPriority, network: network.record };
}

function addressIn(network: LiveNetwork, family: 4 | 6, address: string) {
  const pool = family === 4 ? network.pool4 : network.pool6;
  return { address, prefix: pool!.prefix, gateway: network.gateway(family) };
}

/** The API writes container names with a slash. */
function nameOf(name: string): string {
  return name.replace(/^\//, '');
}

function plain(address: string | undefined): string | undefined {
  return address === undefined ? undefined : formatIp(parseIp(address)!);
}
