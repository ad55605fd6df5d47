import {
  type Clock,
  codeOf,
  KeyedMutex,
  type Logger,
  Mutex,
  messageOf,
  parseCidr,
  type Random,
  WherryError,
} from '@wherry/base';
import { listRoutes } from '@wherry/linux';
import type {
  ConnectRequest,
  ContainerNetworks,
  CreateNetwork,
  EndpointRecord,
  NameService,
  NetworkRecord,
  PortRequest,
  PublishedPort,
} from '../container-networks.ts';
import type { MachinePort } from '../machine-port.ts';
import type { DefaultPool } from './default-pools.ts';
import { Endpoints } from './endpoints.ts';
import type { HostSide } from './host-side.ts';
import { LiveNetwork } from './live-network.ts';
import { namesOf, type StartNameServer, startNames } from './name-service.ts';
import { planNetwork, subnetsInForce } from './plan-network.ts';
import { defaultBridgeOptions } from './predefined-networks.ts';
import type { PublishedPorts, Reach } from './published-ports.ts';
import type { NamesFile, NetworkRecords, PortsFile } from './records.ts';
import { hasOwnParent, lowerParent, raiseParent } from './shared-links.ts';

/** What `MachineNetworks` needs to know. */
export interface MachineNetworksOptions {
  readonly defaultBridges: readonly string[];
  readonly bridgePrefix: string;
  readonly pools: readonly DefaultPool[];
  readonly netns?: string | undefined;
  readonly startNameServer: StartNameServer;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
}

/** What `MachineNetworks` works with. */
export interface MachineNetworksParts {
  readonly host: HostSide;
  readonly records: NetworkRecords;
  readonly published: PublishedPorts;
  /** By id. */
  readonly live: Map<string, LiveNetwork>;
}

/** The networks of one machine: what docker's API asks for, in order, each container's calls one at a time. */
export class MachineNetworks implements ContainerNetworks {
  readonly #options: MachineNetworksOptions;
  readonly #parts: MachineNetworksParts;
  readonly #endpoints: Endpoints;
  /** Networks come and go one at a time. */
  readonly #changes = new Mutex();
  readonly #containers = new KeyedMutex();
  readonly #nameServices = new Map<string, AsyncDisposable>();
  /** Those of a former life of the process, by container, until they are taken over. */
  readonly #formerNames = new Map<string, NamesFile>();

  constructor(options: MachineNetworksOptions, parts: MachineNetworksParts) {
    this.#options = options;
    this.#parts = parts;
    this.#endpoints = new Endpoints({
      ...parts,
      networks: () => [...parts.live.values()],
      raise: (network) => this.#raise(network),
      log: options.log,
      random: options.random,
    });
  }

  /** Puts back what an earlier life of the process left: fences of all networks, the rest where containers are. */
  async resume(ports: readonly PortsFile[], names: readonly NamesFile[]): Promise<void> {
    for (const former of names) this.#formerNames.set(former.containerId, former);
    const { host, live, published } = this.#parts;
    const inUse = [...live.values()].filter(({ record, endpoints }) => {
      return record.driver === 'bridge' && endpoints.some(({ netns }) => netns !== undefined);
    });
    for (const network of live.values()) {
      if (network.record.driver === 'bridge') host.raiseFence(network);
    }
    for (const { containerId, ports: known } of ports) {
      await published.adopt(containerId, known, this.#endpoints.reach(containerId));
    }
    if (inUse.length > 0 || ports.length > 0) await host.raiseAll(inUse);
  }

  create(request: CreateNetwork): Promise<NetworkRecord> {
    return this.#changes.run(async () => {
      const { host, records, live } = this.#parts;
      const { pools, bridgePrefix, clock, random } = this.#options;
      const networks = this.list();
      const own = subnetsInForce(networks);
      const others = listRoutes(host.socket).filter(
        ({ destination }) => !destination.endsWith('/0') && !own.includes(destination),
      );
      const planned = planNetwork(request, {
        networks,
        usedRanges: others.map(({ destination }) => parseCidr(destination)),
        fenced: others.filter(({ type }) => type === 'unreachable').map(({ destination }) => parseCidr(destination)),
        pools,
        ipv6Base: await this.#ipv6Base(request.enableIPv6 === true),
        bridgePrefix,
        clock,
        random,
      });
      const network = new LiveNetwork(planned);
      if (hasOwnParent(host, network, [...live.values()])) network.record = { ...planned, ownParent: true };
      const { record } = network;
      await records.write(record.id, record);
      live.set(record.id, network);
      try {
        if (record.driver === 'bridge') await host.raise(network);
        else if (record.driver !== 'null') raiseParent(host, network);
      } catch (error) {
        await this.#forget(network);
        throw error;
      }
      return record;
    });
  }

  find(reference: string): NetworkRecord | undefined {
    return this.#find(reference)?.record;
  }

  list(): readonly NetworkRecord[] {
    return [...this.#parts.live.values()].map(({ record }) => record);
  }

  remove(reference: string): Promise<void> {
    return this.#changes.run(async () => {
      const network = this.#need(reference);
      const { name, id, predefined } = network.record;
      if (predefined) throw new WherryError('forbidden', `${name} is a pre-defined network and cannot be removed`);
      if (network.endpoints.some(({ netns }) => netns !== undefined)) {
        throw new WherryError(
          'forbidden',
          `error while removing network: network ${name} id ${id} has active endpoints`,
        );
      }
      if (this.list().some(({ configFrom }) => network.record.configOnly && configFrom === name)) {
        throw new WherryError(
          'forbidden',
          `error while removing network: configuration network ${JSON.stringify(name)} is in use`,
        );
      }
      network.removed = true;
      try {
        for (const { record } of network.endpoints) await this.#endpoints.disconnect(network, record.containerId);
        await this.#forget(network);
      } catch (error) {
        // One that stays may be joined again.
        network.removed = !this.#parts.live.has(id);
        throw error;
      }
    });
  }

  async connect(reference: string, request: ConnectRequest): Promise<EndpointRecord> {
    return this.#containers.run(request.containerId, () => this.#endpoints.connect(this.#need(reference), request));
  }

  async disconnect(reference: string, containerId: string, netns?: string): Promise<void> {
    const network = this.#find(reference);
    if (network === undefined) return;
    await this.#containers.run(containerId, async () => {
      await this.#endpoints.disconnect(network, containerId, netns);
      // With the last network that leads out, docker gives the ports back.
      if (!leadsAnywhere(this.#endpoints.reach(containerId))) await this.#parts.published.unpublish(containerId);
      if (this.#endpoints.of(containerId).length === 0) await this.#forgetNames(containerId);
    });
  }

  portHolder(port: MachinePort): string | undefined {
    const id = this.#parts.published.holder(port);
    if (id === undefined) return undefined;
    return `container ${this.#endpoints.of(id)[0]?.record.containerName ?? id.slice(0, 12)}`;
  }

  leadsOut(containerId: string): boolean {
    return leadsAnywhere(this.#endpoints.reach(containerId));
  }

  rename(containerId: string, name: string): Promise<void> {
    return this.#containers.run(containerId, async () => this.#endpoints.rename(containerId, name));
  }

  endpoints(containerId: string): readonly (EndpointRecord & { readonly network: NetworkRecord })[] {
    return this.#endpoints.of(containerId).map(({ record, network }) => ({ ...record, network: network.record }));
  }

  endpointsOf(reference: string): readonly EndpointRecord[] {
    const endpoints = this.#find(reference)?.endpoints ?? [];
    return endpoints.flatMap(({ record, netns }) => (netns === undefined ? [] : [record]));
  }

  publish(containerId: string, ports: readonly PortRequest[]): Promise<readonly PublishedPort[]> {
    return this.#containers.run(containerId, async () => {
      const reach = this.#endpoints.reach(containerId);
      // In networks that lead nowhere docker publishes nothing.
      if (!leadsAnywhere(reach)) return [];
      try {
        return await this.#parts.published.publish(containerId, ports, reach);
      } catch (error) {
        if (codeOf(error) !== 'conflict') throw error;
        const [first] = this.#endpoints.of(containerId);
        const place = `endpoint ${first?.record.containerName} (${first?.record.id})`;
        const text = `driver failed programming external connectivity on ${place}: ${messageOf(error)}`;
        throw new WherryError('conflict', text, { cause: error });
      }
    });
  }

  unpublish(containerId: string): Promise<void> {
    return this.#containers.run(containerId, () => this.#parts.published.unpublish(containerId));
  }

  published(containerId: string): readonly PublishedPort[] {
    return this.#parts.published.of(containerId);
  }

  async serveNames(request: NameService): Promise<AsyncDisposable> {
    const { startNameServer, netns, log, clock } = this.#options;
    const { containerId, links = {} } = request;
    const connections = () => this.#endpoints.of(containerId).map(({ network }) => network);
    await this.#nameServices.get(containerId)?.[Symbol.asyncDispose]();
    const former = this.#formerNames.get(containerId);
    this.#formerNames.delete(containerId);
    const server = await startNames(startNameServer, request, {
      formerPort: former?.netns === request.netns ? former.port : undefined,
      source: namesOf({ networks: () => connections().filter(({ record }) => !record.predefined), links }),
      forward: netns,
      isolated: () =>
        connections().every((network) => network.gateway(4) === undefined && network.gateway(6) === undefined),
      log: log.with({ container: containerId.slice(0, 12) }),
      clock,
    });
    const { port } = server;
    if (port !== former?.port)
      this.#parts.records.writeNow('names', containerId, { containerId, netns: request.netns, port });
    const service: AsyncDisposable = {
      [Symbol.asyncDispose]: async () => {
        if (this.#nameServices.get(containerId) === service) this.#nameServices.delete(containerId);
        await server[Symbol.asyncDispose]();
      },
    };
    this.#nameServices.set(containerId, service);
    return service;
  }

  async #forgetNames(containerId: string): Promise<void> {
    this.#formerNames.delete(containerId);
    await this.#parts.records.remove('names', containerId);
  }

  async reconcile(running: ReadonlySet<string>): Promise<void> {
    const { host, published, live } = this.#parts;
    const known = [...published.containers, ...this.#endpoints.containers, ...this.#formerNames.keys()];
    for (const containerId of new Set(known)) {
      if (running.has(containerId)) continue;
      await this.#forgetNames(containerId);
      await this.unpublish(containerId);
      for (const { network } of this.#endpoints.of(containerId)) await this.disconnect(network.record.id, containerId);
    }
    for (const network of live.values()) {
      if (network.record.driver !== 'bridge') continue;
      const links = new Map(host.portsOf(network).map(({ name, index }) => [name, index]));
      for (const endpoint of network.endpoints) {
        const { record, netns } = endpoint;
        if (netns === undefined || links.delete(host.linkName(record.id))) continue;
        await this.#containers.run(record.containerId, () => this.#endpoints.repair(network, endpoint));
      }
      for (const index of links.values()) host.deleteLink(index);
    }
  }

  async destroy(): Promise<void> {
    const { host, live } = this.#parts;
    await this.reconcile(new Set());
    const networks = [...live.values()];
    for (const [at, network] of networks.entries()) await this.#lower(network, networks.slice(at + 1));
    await host.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const service of [...this.#nameServices.values()]) await service[Symbol.asyncDispose]();
    await this.#parts.published[Symbol.asyncDispose]();
    this.#parts.host[Symbol.dispose]();
  }

  #find(reference: string): LiveNetwork | undefined {
    const { live } = this.#parts;
    if (reference === '') return undefined;
    const whole = live.get(reference) ?? [...live.values()].find(({ record }) => record.name === reference);
    if (whole !== undefined) return whole;
    const matches = [...live.values()].filter(({ record }) => record.id.startsWith(reference));
    return matches.length === 1 ? matches[0] : undefined;
  }

  #need(reference: string): LiveNetwork {
    const network = this.#find(reference);
    if (network === undefined) throw new WherryError('notFound', `network ${reference} not found`);
    return network;
  }

  /** The default bridge takes another name when somebody else took its own before it was made. */
  async #raise(network: LiveNetwork): Promise<void> {
    const { host, records } = this.#parts;
    const { record } = network;
    if (record.predefined && network.device === undefined && !host.isFree(network.bridge, record)) {
      const bridge = this.#options.defaultBridges.find((name) => host.isFree(name, record));
      if (bridge === undefined) throw new WherryError('conflict', `all names for the default bridge are taken`);
      network.record = { ...record, bridge, options: defaultBridgeOptions(bridge) };
      await records.write(record.id, network.record);
    }
    await host.raise(network);
  }

  /** `others` stay. */
  async #lower(network: LiveNetwork, others: readonly LiveNetwork[]): Promise<void> {
    const { driver } = network.record;
    if (driver === 'bridge') await this.#parts.host.lower(network);
    else if (driver === 'macvlan' || driver === 'ipvlan') lowerParent(this.#parts.host, network, others);
  }

  /** What is in the kernel goes first: a kill in between leaves a network that is whole again when it is used. */
  async #forget(network: LiveNetwork): Promise<void> {
    const { live } = this.#parts;
    await this.#lower(
      network,
      [...live.values()].filter((other) => other !== network),
    );
    live.delete(network.record.id);
    await this.#parts.records.remove('networks', network.record.id);
  }

  async #ipv6Base(needed: boolean): Promise<string> {
    const { records } = this.#parts;
    const machine = await records.machine();
    if (machine.ipv6Base !== undefined || !needed) return machine.ipv6Base ?? 'fd00::/48';
    const [one, two] = this.#options.random
      .hex(10)
      .match(/^(..)(.{8})$/)!
      .slice(1) as [string, string];
    const ipv6Base = `fd${one}:${two.slice(0, 4)}:${two.slice(4)}::/48`;
    await records.writeMachine({ ...machine, ipv6Base });
    return ipv6Base;
  }
}

function leadsAnywhere({ ipv4, ipv6 }: Reach): boolean {
  return ipv4 !== undefined || ipv6 !== undefined;
}
