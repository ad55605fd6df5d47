import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  cidrsOverlap,
  codeOf,
  ipv4At,
  KeyedMutex,
  type Logger,
  messageOf,
  parseCidr,
  parseIp,
  WherryError,
} from '@wherry/base';
import {
  addAddressRequest,
  addRouteRequest,
  bridgeRequest,
  createVeth,
  deleteLinkRequest,
  findLink,
  hairpinRequest,
  listAddresses,
  listLinks,
  NetlinkSocket,
  setLinkRequest,
  WatchedTable,
  writeNetworkSysctl,
} from '@wherry/linux';
import type { DnsConfig } from '@wherry/runtime';
import { AddressBook, type Lease } from './address-book.ts';
import { checkRangesFree, lowerFence, raiseFence } from './fence.ts';
import { isSamePort, type MachinePort, type PortHolder } from './machine-port.ts';
import type { NetworkRequest, NetworkResult, PodNetwork } from './network.ts';
import { NodeState } from './node-state.ts';
import { isAnyAddress, publishRules, type RuleSettings, tableRules, unpublishRules } from './rules.ts';

/** What `createBridgeNetwork` needs to know. */
export interface BridgeNetworkOptions {
  /** Name of the bridge, at most 15 characters; also names the nftables table `wherry-net-BRIDGE`. */
  readonly bridge: string;
  /** The node's share of the cluster's range, `10.244.0.0/24`; its first address is the gateway. */
  readonly podCidr: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** A folder of this network's own: leases and what was changed on the node. */
  readonly stateDirectory: string;
  /** Bytes; default 1500. */
  readonly mtu?: number | undefined;
  /** Path of the machine's network namespace; default this process's. */
  readonly netns?: string | undefined;
  /** Who else publishes a port of the machine: docker's containers. */
  readonly portHolder?: PortHolder | undefined;
  /** Given back with every sandbox. */
  readonly dns?: DnsConfig | undefined;
  readonly log: Logger;
}

/** A pod network on a bridge of this machine. Disposing leaves the network as it is: pods outlive the daemon. */
export interface BridgeNetwork extends PodNetwork, Disposable {
  /** The bridge's address: the pods' router, and where cluster DNS listens. */
  readonly gateway: string;
  /** The sandbox that publishes a port of the machine. */
  portHolder(port: MachinePort): string | undefined;
  /** Removes every interface, route, rule, setting and file that the network made, and nothing else. */
  destroy(): Promise<void>;
}

/**
 * Makes or takes over a pod network: a bridge that routes. Pods have their address without a route
 * to their neighbours, so every packet between them passes the node's IP layer; services work
 * between pods of one node without `br_netfilter`. Pod and service ranges are fenced before
 * anything else happens. Where another firewall drops forwarded packets by policy, an own table
 * cannot overrule it. Throws `invalid`, `conflict` (ranges or folder in use), `forbidden`.
 */
export async function createBridgeNetwork(options: BridgeNetworkOptions): Promise<BridgeNetwork> {
  const range = checkOptions(options);
  const { stateDirectory, bridge, podCidr, clusterCidr, serviceCidr, netns, log } = options;
  const leases = await AddressBook.open(join(stateDirectory, 'addresses'), range, log);
  const socket = NetlinkSocket.open({ netns });
  try {
    checkRangesFree(socket, bridge, [clusterCidr, serviceCidr]);
    const state = await NodeState.open(stateDirectory, { bridge, podCidr, netns, log });
    raiseFence(socket, [clusterCidr, serviceCidr]);
    const rules: RuleSettings = { table: `wherry-net-${bridge}`, bridge, podCidr, clusterCidr, serviceCidr };
    const table = WatchedTable.open({
      table: rules.table,
      netns,
      log,
      restore: () => table.run(tableRules(rules, leases.leases)),
    });
    try {
      const network = new RoutedBridge(options, { socket, table, rules, leases, state });
      await network.setUp();
      return network;
    } catch (error) {
      table[Symbol.dispose]();
      throw error;
    }
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

function checkOptions(options: BridgeNetworkOptions): ReturnType<typeof parseCidr> {
  const [pods, cluster, services] = [options.podCidr, options.clusterCidr, options.serviceCidr].map(parseCidr);
  const invalid = (why: string): WherryError => new WherryError('invalid', `network ${options.bridge}: ${why}`);
  if (!/^[a-z][a-z0-9-]{0,14}$/.test(options.bridge)) throw invalid('not a name for a bridge');
  if (pods === undefined || cluster === undefined || services === undefined) throw invalid('a range is missing');
  if ([pods, cluster, services].some((range) => range.address.length !== 4)) throw invalid('only IPv4 ranges work');
  if (pods.prefix > 29) throw invalid(`${options.podCidr} has no room for pods`);
  if (pods.prefix < cluster.prefix || !cidrsOverlap(pods, cluster)) {
    throw invalid(`${options.podCidr} is not part of the cluster's range ${options.clusterCidr}`);
  }
  if (cidrsOverlap(cluster, services)) {
    throw invalid(`the pod range ${options.clusterCidr} and the service range ${options.serviceCidr} overlap`);
  }
  return pods;
}

interface Parts {
  readonly socket: NetlinkSocket;
  readonly table: WatchedTable;
  readonly rules: RuleSettings;
  readonly leases: AddressBook;
  readonly state: NodeState;
}

class RoutedBridge implements BridgeNetwork {
  readonly gateway: string;
  readonly #options: BridgeNetworkOptions;
  readonly #parts: Parts;
  readonly #locks = new KeyedMutex();
  #index = 0;

  constructor(options: BridgeNetworkOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
    this.gateway = ipv4At(parseCidr(options.podCidr), 1);
  }

  /** Brings bridge, routes, settings and rules to what they should be; what is right already stays. */
  async setUp(): Promise<void> {
    const { bridge, podCidr, serviceCidr, netns, mtu } = this.#options;
    const { socket, table, rules, leases, state } = this.#parts;
    if (findLink(socket, bridge) === undefined) {
      socket.execute(bridgeRequest(bridge, { mac: macOf(this.gateway), mtu: mtu ?? 1500 }));
    }
    const link = findLink(socket, bridge);
    if (link?.kind !== 'bridge') throw new WherryError('conflict', `interface ${bridge} is not a bridge`);
    this.#index = link.index;
    this.#trySysctl(`net/ipv6/conf/${bridge}/disable_ipv6`, '1');
    // Published ports on 127.0.0.1 reach pods through this interface only.
    writeNetworkSysctl(`net/ipv4/conf/${bridge}/route_localnet`, '1', netns);
    socket.execute(setLinkRequest(link.index, { up: true }));
    const prefix = parseCidr(podCidr).prefix;
    for (const request of [
      addAddressRequest(link.index, `${this.gateway}/${prefix}`),
      // Local processes get a source address and a packet for kube-proxy to rewrite; what it does not rewrite dies here.
      addRouteRequest({ destination: serviceCidr, device: link.index, source: this.gateway }),
    ]) {
      try {
        socket.execute(request);
      } catch (error) {
        if (codeOf(error) !== 'alreadyExists') throw error;
      }
    }
    table.run(tableRules(rules, leases.leases));
    await state.setSysctl('net.ipv4.ip_forward', '1');
    // Pods of one node meet at the bridge, so the kernel would tell them to talk past the router that
    // translates their addresses, and count that against the errors it may send them. It does so when
    // `all` or the interface says so: other interfaces keep their own setting.
    writeNetworkSysctl(`net/ipv4/conf/${bridge}/send_redirects`, '0', netns);
    await state.setSysctl('net.ipv4.conf.all.send_redirects', '0');
  }

  add(request: NetworkRequest): Promise<NetworkResult> {
    return this.#locks.run(request.id, () => this.#add(request));
  }

  async #add(request: NetworkRequest): Promise<NetworkResult> {
    const known = this.#parts.leases.find(request.id);
    if (known !== undefined) {
      if (this.#isConnected(known, request)) return this.#resultOf(known);
      await this.#free(known);
    }
    this.#checkPorts(request);
    const { id, name, portMappings = [] } = request;
    const lease = await this.#parts.leases.allocate({ id, name, portMappings });
    try {
      this.#connect(lease, request);
      this.#runRules(publishRules(this.#parts.rules.table, lease));
    } catch (error) {
      await this.#free(lease).catch((again: unknown) =>
        this.#options.log.error('taking back a failed connection failed too', { id, error: messageOf(again) }),
      );
      throw error;
    }
    return this.#resultOf(lease);
  }

  del({ id }: { readonly id: string; readonly netns: string | undefined }): Promise<void> {
    return this.#locks.run(id, async () => {
      const lease = this.#parts.leases.find(id);
      if (lease === undefined) return;
      // The interfaces go with the sandbox's namespace: deleting them here would block 15 ms.
      this.#runRules(unpublishRules(this.#parts.rules.table, lease));
      await this.#parts.leases.release(id);
    });
  }

  async reconcile(live: ReadonlySet<string>): Promise<void> {
    const { socket, leases } = this.#parts;
    for (const { id } of leases.leases) if (!live.has(id)) await this.del({ id, netns: undefined });
    const names = new Set(leases.leases.map(({ id }) => this.#linkName(id)));
    for (const link of listLinks(socket)) {
      if (link.master === this.#index && !names.has(link.name)) this.#deleteLink(link.index);
    }
  }

  async destroy(): Promise<void> {
    const { socket, table, rules, state } = this.#parts;
    const { clusterCidr, serviceCidr, stateDirectory } = this.#options;
    for (const link of listLinks(socket)) {
      if (link.master === this.#index && link.kind === 'veth') this.#deleteLink(link.index);
    }
    this.#deleteLink(this.#index);
    table.run(`add table ip ${rules.table}\ndelete table ip ${rules.table}`);
    const others = table
      .list('list tables ip')
      .some((entry) => String((entry.table as { name?: unknown } | undefined)?.name).startsWith('wherry-net-'));
    // Another cluster on this machine still forwards.
    if (!others) state.restoreSysctls();
    lowerFence(socket, [clusterCidr, serviceCidr]);
    await rm(stateDirectory, { recursive: true, force: true });
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#parts.socket[Symbol.dispose]();
    this.#parts.table[Symbol.dispose]();
  }

  #connect(lease: Lease, { netns, interfaceName = 'eth0' }: NetworkRequest): void {
    const mtu = this.#options.mtu ?? 1500;
    const name = this.#linkName(lease.id);
    const pair = {
      name,
      settings: { up: true, master: this.#index, mtu },
      peer: { netns, name: interfaceName, mac: macOf(lease.address), mtu },
    };
    try {
      createVeth(this.#parts.socket, pair);
    } catch (error) {
      const stale = codeOf(error) === 'alreadyExists' ? findLink(this.#parts.socket, name) : undefined;
      if (stale === undefined) throw error;
      this.#deleteLink(stale.index);
      createVeth(this.#parts.socket, pair);
    }
    // Where br_netfilter is on, rewritten packets are bridged and not routed: a pod that reaches itself needs this.
    this.#parts.socket.execute(hairpinRequest(name, true));
    using inside = NetlinkSocket.open({ netns });
    const device = findLink(inside, interfaceName)?.index;
    if (device === undefined) throw new WherryError('internal', `${interfaceName} did not appear in ${netns}`);
    const { prefix } = parseCidr(this.#options.podCidr);
    inside.batch([
      setLinkRequest(1, { up: true }),
      setLinkRequest(device, { up: true }),
      addAddressRequest(device, `${lease.address}/${prefix}`, { prefixRoute: false }),
      addRouteRequest({ destination: `${this.gateway}/32`, device }),
      addRouteRequest({ destination: '0.0.0.0/0', via: this.gateway, device }),
    ]);
  }

  /** Whether the sandbox already has its interface with its address: after a restart of the daemon. */
  #isConnected(lease: Lease, { netns }: NetworkRequest): boolean {
    if (findLink(this.#parts.socket, this.#linkName(lease.id)) === undefined) return false;
    using inside = NetlinkSocket.open({ netns });
    return listAddresses(inside).some(({ address }) => address === lease.address);
  }

  portHolder(port: MachinePort): string | undefined {
    const holder = this.#holderOf(port);
    return holder && `pod ${holder}`;
  }

  #holderOf(port: MachinePort, own?: string): string | undefined {
    const lease = this.#parts.leases.leases.find(
      ({ id, portMappings }) => id !== own && portMappings.some((other) => isSamePort(other, port)),
    );
    return lease?.name ?? lease?.id;
  }

  /** Throws `conflict` when another sandbox publishes one of the ports, `invalid` for numbers out of range. */
  #checkPorts({ portMappings = [], id }: NetworkRequest): void {
    for (const wanted of portMappings) {
      const { hostPort, containerPort, hostIp, protocol } = wanted;
      if ([hostPort, containerPort].some((port) => !Number.isInteger(port) || port < 1 || port > 65535)) {
        throw new WherryError('invalid', `port mapping ${hostPort}:${containerPort} is out of range`);
      }
      if (!isAnyAddress(hostIp) && parseIp(hostIp ?? '')?.length !== 4) {
        throw new WherryError('invalid', `port mapping ${hostPort}: "${hostIp}" is not an IPv4 address`);
      }
      const holder = this.#holderOf(wanted, id) ?? this.#options.portHolder?.(wanted);
      if (holder === undefined) continue;
      throw new WherryError('conflict', `host port ${hostPort}/${protocol} is in use by ${holder}`);
    }
  }

  async #free(lease: Lease): Promise<void> {
    const link = findLink(this.#parts.socket, this.#linkName(lease.id));
    if (link) this.#deleteLink(link.index);
    this.#runRules(unpublishRules(this.#parts.rules.table, lease));
    await this.#parts.leases.release(lease.id);
  }

  #runRules(commands: string): void {
    if (commands !== '') this.#parts.table.run(commands);
  }

  #deleteLink(index: number): void {
    try {
      this.#parts.socket.execute(deleteLinkRequest(index));
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error; // its namespace went meanwhile
    }
  }

  #resultOf(lease: Lease): NetworkResult {
    return { ips: [lease.address], gateway: this.gateway, mac: macOf(lease.address), dns: this.#options.dns };
  }

  #linkName(id: string): string {
    const hash = createHash('sha256').update(`${this.#options.bridge}/${id}`).digest('hex');
    return `wv${hash.slice(0, 12)}`;
  }

  /** A kernel without IPv6 has none of its settings. */
  #trySysctl(name: string, value: string): void {
    try {
      writeNetworkSysctl(name, value, this.#options.netns);
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error;
    }
  }
}

/** A locally administered MAC address that is as unique as the IPv4 address. */
function macOf(address: string): string {
  const bytes = parseIp(address) ?? [];
  return ['0a', '58', ...Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))].join(':');
}
