import { messageOf, WherryError } from '@wherry/base';
import { writeNetworkSysctl } from '@wherry/linux';
import { byGateway, type NetworkRecord } from '@wherry/network';
import { containerOfMode } from '../config/modes.ts';
import { portRequests } from '../config/ports.ts';
import type { EndpointSettings } from '../config/types.ts';
import type { Container } from '../containers/container.ts';
import type { DockerContext } from '../containers/context.ts';
import { namingNetwork } from '../containers/create-networks.ts';
import { type NetworkFacts, parseResolvConf, writeNetworkFiles } from '../mapping/network-files.ts';
import { isOfInterface } from '../mapping/sandbox-config.ts';
import { addressOn, checkDefaultLinks, linksOfStart, linksThere } from './links.ts';

/** Connects containers that run with their networks: interfaces, names, ports, and the files that tell of them. */
export class Connections {
  readonly #context: DockerContext;
  readonly #names = new Map<string, AsyncDisposable>();

  constructor(context: DockerContext) {
    this.#context = context;
  }

  /** Joins every network of the container. What was done is undone by `close`. */
  async open(container: Container, netns: string | undefined): Promise<void> {
    const connected: NetworkRecord[] = [];
    for (const { name, network, settings } of this.#wanted(container)) {
      if (network.driver === 'host' || (network.driver === 'null' && network.predefined)) continue;
      await this.connect(container, network, settings, netns).catch((error: unknown) => {
        throw namingNetwork(name, error);
      });
      connected.push(network);
    }
    setInterfaces(container, netns);
    await Promise.all([
      this.writeFiles(container),
      this.serveNames(container, netns),
      connected.length === 0 ? undefined : this.publish(container),
    ]);
  }

  /** The networks that a container is to join, in the order in which docker numbers their interfaces. */
  #wanted({ record }: Container) {
    return Object.entries(record.endpoints)
      .map(([name, settings]) => {
        const network = this.#context.networks.find(name);
        if (network === undefined) throw new WherryError('notFound', `network ${name} not found`);
        return { name, network, settings, gatewayPriority: settings.GwPriority };
      })
      .sort(byGateway);
  }

  /** Publishes the ports of a container that runs, where a network of its leads out. */
  async publish(container: Container): Promise<void> {
    const { config, host } = container.record;
    const requests = portRequests(config, host);
    if (requests.length > 0) await this.#context.networks.publish(container.id, requests);
  }

  async connect(
    container: Container,
    network: NetworkRecord,
    settings: EndpointSettings,
    netns: string | undefined,
  ): Promise<void> {
    const { networks, events } = this.#context;
    const { Hostname: hostname } = container.record.config;
    // Names are a matter of networks that users made.
    const own = network.predefined || hostname === '' || hostname === container.id.slice(0, 12) ? [] : [hostname];
    const aliases = [...(settings.Aliases ?? []), ...own];
    await networks.connect(network.id, {
      containerId: container.id,
      containerName: container.name,
      netns,
      ipv4: settings.IPAMConfig?.IPv4Address,
      ipv6: settings.IPAMConfig?.IPv6Address,
      linkLocal: settings.IPAMConfig?.LinkLocalIPs,
      mac: settings.MacAddress || undefined,
      aliases,
      gatewayPriority: settings.GwPriority,
      ...(settings.DriverOpts === null ? {} : { driverOptions: settings.DriverOpts }),
    });
    events.emit('network', 'connect', network.id, this.#attributes(container, network));
  }

  #attributes(container: Container, network: NetworkRecord): Record<string, string> {
    return { container: container.id, name: network.name, type: network.driver };
  }

  /** Leaves one network while the container runs. */
  async disconnect(container: Container, network: NetworkRecord, netns: string | undefined): Promise<void> {
    await this.#context.networks.disconnect(network.id, container.id, netns);
    this.tellDisconnected(container, network);
  }

  tellDisconnected(container: Container, network: NetworkRecord): void {
    this.#context.events.emit('network', 'disconnect', network.id, this.#attributes(container, network));
  }

  /** The embedded DNS, for containers of networks that users made. */
  async serveNames(container: Container, netns: string | undefined): Promise<void> {
    const { networks, host } = this.#context;
    if (netns === undefined || this.#names.has(container.id) || !this.#embedded(container)) return;
    const links: Record<string, string> = {};
    for (const settings of Object.values(container.record.endpoints))
      for (const { alias, target } of linksThere(this.#context, settings.Links)) links[alias] = target.id;
    for (const { alias, target } of linksThere(this.#context, container.record.host.Links)) links[alias] = target.id;
    const own = container.record.host.Dns ?? [];
    const { servers } = parseResolvConf(host.resolvConf());
    const service = await networks.serveNames({
      containerId: container.id,
      netns,
      links,
      upstream: own.length > 0 ? own : servers,
    });
    this.#names.set(container.id, service);
  }

  #embedded(container: Container): boolean {
    return Object.keys(container.record.endpoints).some((name) => {
      const network = this.#context.networks.find(name);
      return network !== undefined && !network.predefined;
    });
  }

  /** `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`, in place. */
  async writeFiles(container: Container): Promise<void> {
    const { record } = container;
    if (containerOfMode(record.host.NetworkMode) !== undefined) return;
    await writeNetworkFiles(this.#context.store.folder(container.id), record, this.#facts(container));
  }

  #facts(container: Container): NetworkFacts {
    const { networks, host } = this.#context;
    const { record } = container;
    const onBridge = record.host.NetworkMode === 'bridge';
    const links = onBridge ? linksOfStart(this.#context, container) : [];
    checkDefaultLinks(this.#context, container, links);
    const endpoints = networks.endpoints(container.id);
    return {
      addresses: endpoints.flatMap(({ ipv4, ipv6 }) =>
        [ipv4?.address, ipv6?.address].filter((text) => text !== undefined),
      ),
      gateway: networks.find('bridge')?.ipam.pools[0]?.gateway,
      linked: links.flatMap(({ alias, target }) => {
        const address = addressOn(this.#context, target, 'bridge');
        const names = [...new Set([alias, target.record.config.Hostname, target.name])];
        return address === undefined ? [] : [{ address, names }];
      }),
      resolver: this.#embedded(container) ? 'embedded' : 'host',
      hostResolvConf: host.resolvConf(),
      hostNetwork: record.host.NetworkMode === 'host',
    };
  }

  /** Gives everything back after a run, or after a start that failed. */
  async close(container: Container): Promise<void> {
    const { networks } = this.#context;
    const names = this.#names.get(container.id);
    this.#names.delete(container.id);
    await names?.[Symbol.asyncDispose]();
    const endpoints = networks.endpoints(container.id);
    await networks.unpublish(container.id);
    for (const { network } of endpoints) {
      await networks.disconnect(network.id, container.id);
      this.tellDisconnected(container, network);
    }
  }

  /** Lets go of the servers of names; the containers run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#names.values()].map((service) => service[Symbol.asyncDispose]()));
    this.#names.clear();
  }
}

/** `--sysctl` of interfaces, which are there by now. */
function setInterfaces({ record }: Container, netns: string | undefined): void {
  for (const [name, value] of Object.entries(record.host.Sysctls ?? {})) {
    if (!isOfInterface(name)) continue;
    if (netns === undefined)
      throw new WherryError('invalid', `sysctl ${JSON.stringify(name)} not allowed in host network namespace`);
    try {
      writeNetworkSysctl(name, value, netns);
    } catch (error) {
      throw new WherryError(
        'invalid',
        `cannot set the sysctl ${name} to ${JSON.stringify(value)}: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }
}
