import { createHash } from 'node:crypto';
import { type Cidr, codeOf, type Logger, Mutex, parseCidr, WherryError } from '@wherry/base';
import {
  addAddressRequest,
  bridgeRequest,
  deleteLinkRequest,
  findLink,
  forgetConnection,
  type Link,
  listConnections,
  listLinks,
  listRoutes,
  NetlinkSocket,
  netlinkFamily,
  readNetworkSysctl,
  setLinkRequest,
  WatchedTable,
  writeNetworkSysctl,
} from '@wherry/linux';
import { lowerFence, raiseFence } from '../fence.ts';
import {
  containerTable,
  networkRules,
  type PortRule,
  portRules,
  withoutNetwork,
  withoutPorts,
} from './container-rules.ts';
import type { LiveNetwork } from './live-network.ts';
import type { NetworkRecords } from './records.ts';

/** What `HostSide` needs to know. */
export interface HostOptions {
  readonly table: string;
  /** Interfaces that containers reach only by published ports. */
  readonly walls: readonly string[];
  readonly netns: string | undefined;
  readonly log: Logger;
}

/** What of the present is written into the table when it has to be made anew. */
export interface Present {
  networks(): readonly LiveNetwork[];
  ports(): readonly PortRule[];
}

/** Of bridges and of the interfaces in them, in bytes. */
export const defaultMtu = 1500;
const linkPrefix = 'wc';
/** Protocol number. */
const udp = 17;

/** Bridges, routes, rules and settings of the container networks on the machine itself. */
export class HostSide implements Disposable {
  readonly socket: NetlinkSocket;
  readonly #options: HostOptions;
  readonly #present: Present;
  readonly #records: NetworkRecords;
  #table: WatchedTable | undefined;
  #bridgedFilter: boolean | undefined;
  readonly #settings = new Mutex();
  /** Settings of forwarding that are on. */
  readonly #forwarding = new Set<string>();

  constructor(options: HostOptions, present: Present, records: NetworkRecords) {
    this.#options = options;
    this.#present = present;
    this.#records = records;
    this.socket = NetlinkSocket.open({ netns: options.netns });
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
    this.#table?.[Symbol.dispose]();
  }

  /** Path of the machine's network namespace. */
  get netns(): string {
    return this.#options.netns ?? '/proc/self/ns/net';
  }

  /** The ranges that something on this machine uses, besides those given. */
  usedRanges(own: readonly string[]): Cidr[] {
    return listRoutes(this.socket)
      .filter(({ destination }) => !destination.endsWith('/0') && !own.includes(destination))
      .map(({ destination }) => parseCidr(destination));
  }

  raiseFence(network: LiveNetwork): void {
    raiseFence(this.socket, subnetsOf(network));
  }

  lowerFence(network: LiveNetwork): void {
    lowerFence(this.socket, subnetsOf(network));
  }

  /** Name of the machine's end of an endpoint. */
  linkName(endpointId: string): string {
    const hash = createHash('sha256').update(`${this.#options.table}/${endpointId}`).digest('hex');
    return linkPrefix + hash.slice(0, 13);
  }

  /** Whether an interface of that name is missing, or is the network's bridge. */
  isFree(name: string, network: { readonly id: string }): boolean {
    const link = findLink(this.socket, name);
    return link === undefined || this.#isOwn(link, network.id);
  }

  /** Brings a bridge and its rules up, unless this process has. Throws `conflict`. */
  async raise(network: LiveNetwork): Promise<void> {
    if (network.device === undefined) {
      this.#raiseBridge(network);
      try {
        this.#openTable().run(networkRules(this.#options.table, network));
      } catch (error) {
        network.device = undefined;
        throw error;
      }
    }
    await this.#forward(network);
  }

  /** What raised bridges in an earlier life of the process is raised again, with one transaction. */
  async raiseAll(networks: readonly LiveNetwork[]): Promise<void> {
    for (const network of networks) this.#raiseBridge(network);
    if (this.#table === undefined) this.#openTable();
    else this.#table.run(this.#wholeTable());
    for (const network of networks) await this.#forward(network);
  }

  /** Puts a bridge, its rules and its fence away. */
  async lower(network: LiveNetwork): Promise<void> {
    const link = network.record.bridge === undefined ? undefined : findLink(this.socket, network.record.bridge);
    if (link !== undefined && this.#isOwn(link, network.record.id)) await this.#deleteAside(link.index);
    network.device = undefined;
    if (this.#table !== undefined) this.#table.run(withoutNetwork(this.#options.table, network));
    this.lowerFence(network);
  }

  addPorts(ports: readonly PortRule[]): void {
    if (ports.length === 0) return;
    this.#openTable().run(portRules(this.#options.table, ports));
    this.#forgetConnections(ports);
  }

  /** Replaces ports in one transaction. */
  changePorts(before: readonly PortRule[], after: readonly PortRule[]): void {
    const commands = [withoutPorts(this.#options.table, before), portRules(this.#options.table, after)];
    if (before.length + after.length === 0) return;
    this.#openTable().run(commands.join('\n'));
    this.#forgetConnections([...before, ...after]);
  }

  /** Datagrams of a conversation that began before go on to where its first went, unless the kernel forgets it. */
  #forgetConnections(ports: readonly PortRule[]): void {
    const changed = new Set(ports.flatMap(({ protocol, hostPort }) => (protocol === 'UDP' ? [hostPort] : [])));
    if (changed.size === 0) return;
    using socket = NetlinkSocket.open({ netns: this.#options.netns, family: netlinkFamily.netfilter });
    for (const connection of listConnections(socket)) {
      if (connection.protocol === udp && changed.has(connection.destinationPort)) forgetConnection(socket, connection);
    }
  }

  deleteLink(index: number): void {
    try {
      this.socket.execute(deleteLinkRequest(index));
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error; // its namespace went meanwhile
    }
  }

  /** While the process goes on. */
  async #deleteAside(index: number): Promise<void> {
    using socket = NetlinkSocket.open({ netns: this.#options.netns });
    try {
      await socket.executeAside(deleteLinkRequest(index));
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error;
    }
  }

  /** A link that is not there is no error. */
  deleteLinkNamed(name: string): void {
    const link = findLink(this.socket, name);
    if (link !== undefined) this.deleteLink(link.index);
  }

  /** Whether a network's bridge is the one that this process raised, and still there. */
  isRaised(network: LiveNetwork): boolean {
    return findLink(this.socket, network.bridge)?.index === network.device;
  }

  /** The ends of endpoints in a bridge. */
  portsOf(network: LiveNetwork): Link[] {
    const links = listLinks(this.socket);
    const bridge = links.find(({ name, kind }) => name === network.bridge && kind === 'bridge');
    return links.filter(
      ({ master, name }) => bridge !== undefined && master === bridge.index && name.startsWith(linkPrefix),
    );
  }

  /** Whether bridged frames pass the rules for packets (br_netfilter); then a port must get back what it sent. */
  get filtersBridged(): boolean {
    this.#bridgedFilter ??= readNetworkSysctl('net.bridge.bridge-nf-call-iptables', this.#options.netns) === '1';
    return this.#bridgedFilter;
  }

  /** Removes the table, and settings unless another machine on this host needs them. */
  async destroy(): Promise<void> {
    const table = this.#openTable();
    table.run(`add table inet ${this.#options.table}\ndelete table inet ${this.#options.table}`);
    const others = table
      .list('list tables')
      .some((entry) => String((entry.table as { name?: unknown } | undefined)?.name).startsWith('wherry-'));
    const { sysctls, ipv6Base } = await this.#records.machine();
    if (!others) {
      for (const [name, value] of Object.entries(sysctls)) writeNetworkSysctl(name, value, this.#options.netns);
    }
    await this.#records.writeMachine({ sysctls: {}, ipv6Base });
    table[Symbol.dispose]();
    this.#table = undefined;
    this.#forwarding.clear();
  }

  #openTable(): WatchedTable {
    if (this.#table !== undefined) return this.#table;
    const { table, netns, log } = this.#options;
    const watched = WatchedTable.open({
      table,
      family: 'inet',
      netns,
      log,
      restore: () => watched.run(this.#wholeTable()),
    });
    try {
      watched.run(this.#wholeTable());
    } catch (error) {
      watched[Symbol.dispose]();
      throw error;
    }
    this.#table = watched;
    return watched;
  }

  #wholeTable(): string {
    const { table, walls } = this.#options;
    const raised = this.#present
      .networks()
      .filter(({ device, record }) => device !== undefined && record.driver === 'bridge');
    return containerTable(table, walls, raised, this.#present.ports());
  }

  #raiseBridge(network: LiveNetwork): void {
    const { bridge } = network;
    const { netns } = this.#options;
    const mtu = network.options.mtu ?? defaultMtu;
    let link = findLink(this.socket, bridge);
    if (link === undefined) {
      this.socket.execute(bridgeRequest(bridge, { mac: this.#bridgeMac(network.record.id), mtu }));
      link = findLink(this.socket, bridge);
    }
    if (link?.kind !== 'bridge') throw new WherryError('conflict', `existing interface ${bridge} is not a bridge`);
    this.#setInterface(bridge, 'ipv6', 'disable_ipv6', network.pool6 === undefined ? '1' : '0');
    if (network.pool6 !== undefined) this.#setInterface(bridge, 'ipv6', 'accept_ra', '0');
    // Ports published on 127.0.0.1 reach containers through this interface only.
    writeNetworkSysctl(`net/ipv4/conf/${bridge}/route_localnet`, '1', netns);
    const { pool4, pool6, options } = network;
    const addresses = [
      ...(pool4 === undefined || options.withoutGateway ? [] : [`${pool4.gateway}/${pool4.prefix}`]),
      ...(pool6 === undefined ? [] : [`${pool6.gateway}/${pool6.prefix}`]),
    ];
    for (const address of addresses) {
      this.#unlessThere(addAddressRequest(link.index, address, { broadcast: true, unique: true }));
    }
    this.socket.execute(setLinkRequest(link.index, { up: true }));
    raiseFence(this.socket, subnetsOf(network));
    network.device = link.index;
  }

  /** The machine forwards from now on; settings before ours are kept. */
  async #forward({ pool6 }: LiveNetwork): Promise<void> {
    for (const name of ['net.ipv4.ip_forward', ...(pool6 === undefined ? [] : ['net.ipv6.conf.all.forwarding'])]) {
      if (this.#forwarding.has(name)) continue;
      await this.#settings.run(async () => {
        const before = readNetworkSysctl(name, this.#options.netns);
        if (before !== undefined && before !== '1') {
          const machine = await this.#records.machine();
          await this.#records.writeMachine({ ...machine, sysctls: { [name]: before, ...machine.sysctls } });
          writeNetworkSysctl(name, '1', this.#options.netns);
        }
        this.#forwarding.add(name);
      });
    }
  }

  #setInterface(name: string, family: 'ipv4' | 'ipv6', setting: string, value: string): void {
    try {
      writeNetworkSysctl(`net/${family}/conf/${name}/${setting}`, value, this.#options.netns);
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error; // a kernel without IPv6
    }
  }

  #unlessThere(request: Parameters<NetlinkSocket['execute']>[0]): void {
    try {
      this.socket.execute(request);
    } catch (error) {
      if (codeOf(error) !== 'alreadyExists') throw error;
    }
  }

  #isOwn(link: Link, networkId: string): boolean {
    return link.kind === 'bridge' && link.mac === this.#bridgeMac(networkId);
  }

  /** Given while the bridge is made, so that it is known as ours at any moment. */
  #bridgeMac(networkId: string): string {
    const hash = createHash('sha256').update(`${this.#options.table}/${networkId}`).digest('hex');
    return `02:42:${hash.slice(0, 8).match(/../g)!.join(':')}`;
  }
}

function subnetsOf({ subnet4, subnet6 }: LiveNetwork): string[] {
  return [subnet4, subnet6].filter((subnet) => subnet !== undefined);
}
