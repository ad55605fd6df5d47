import type { PortMapping } from '@wherry/runtime';
import type { MachinePort } from './machine-port.ts';

/**
 * Docker's networks: the default bridge, bridges that users make, each with ranges of its own and walled off from the
 * others; published ports; names. Containers join them by endpoints. Records are on disk; what is in the kernel is
 * put back from them at start. All rules are in one nftables table of this machine's, restored when somebody flushes
 * them. Every method throws `WherryError`s in docker's words.
 */
export interface ContainerNetworks extends AsyncDisposable {
  /** Throws `alreadyExists` (`network with name … already exists`), `invalid`, `conflict` . */
  create(request: CreateNetwork): Promise<NetworkRecord>;
  /** By id, name, or unique prefix of an id. */
  find(reference: string): NetworkRecord | undefined;
  list(): readonly NetworkRecord[];
  /** Throws `notFound`; `forbidden` for a predefined network and for one with active endpoints. */
  remove(reference: string): Promise<void>;

  /**
   * Gives a container its place in a network: an address now, and an interface in its namespace when there is one.
   * On failure nothing stays. Throws `forbidden` (`endpoint with name … already exists in network …`,
   * `Address already in use`), `invalid`, `conflict` (a port is taken).
   */
  connect(network: string, request: ConnectRequest): Promise<EndpointRecord>;
  /**
   * Idempotent; takes rules, names and addresses back. The interface goes with the namespace when it is not given.
   * The container's default route and published ports move to the network that is next.
   */
  disconnect(network: string, containerId: string, netns?: string): Promise<void>;
  /** A container has another name: its networks know it by that from now on. */
  rename(containerId: string, name: string): Promise<void>;
  endpoints(containerId: string): readonly (EndpointRecord & { readonly network: NetworkRecord })[];
  /** Those with an interface: of running containers. */
  endpointsOf(network: string): readonly EndpointRecord[];

  /**
   * Publishes ports of a running container by its endpoints. A host port of 0 is chosen (32768–60999, or the range's
   * first free one). The port is also bound, so that nobody else on the machine takes it. Throws `conflict` in
   * docker's words (`Bind for 0.0.0.0:80 failed: port is already allocated`, `… listen tcp4 0.0.0.0:80: bind: address
   * already in use`).
   */
  publish(containerId: string, ports: readonly PortRequest[]): Promise<readonly PublishedPort[]>;
  unpublish(containerId: string): Promise<void>;
  published(containerId: string): readonly PublishedPort[];
  /** The container that publishes a port of the machine. */
  portHolder(port: MachinePort): string | undefined;
  /** Whether a container is in a bridge through which ports can be published. */
  leadsOut(containerId: string): boolean;

  /**
   * Starts the embedded DNS of a container at 127.0.0.11 in its namespace (user networks only): names and aliases of
   * its networks' containers, `links` of its own, everything else asked from `upstream`.
   */
  serveNames(request: NameService): Promise<AsyncDisposable>;

  /** Frees what belongs to none of these containers (after a crash), and connects nobody. */
  reconcile(running: ReadonlySet<string>): Promise<void>;
  /** Removes every interface, rule, route and setting from the machine; records stay. */
  destroy(): Promise<void>;
}

export interface CreateNetwork {
  /** Default: 64 random hexadecimal digits. */
  readonly id?: string | undefined;
  readonly name: string;
  readonly driver?: string | undefined; // bridge, macvlan, ipvlan; 'host' and 'null' only predefined
  readonly internal?: boolean | undefined;
  readonly attachable?: boolean | undefined;
  readonly ingress?: boolean | undefined;
  /** A word that is shown: every network is of this machine alone. Default `local`. */
  readonly scope?: string | undefined;
  /** Holds settings for others and cannot be joined. */
  readonly configOnly?: boolean | undefined;
  /** Name or id of the network whose settings it has. */
  readonly configFrom?: string | undefined;
  readonly enableIPv4?: boolean | undefined;
  readonly enableIPv6?: boolean | undefined;
  readonly ipam?: IpamConfig | undefined;
  readonly options?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

export interface IpamConfig {
  readonly driver: string;
  readonly options?: Readonly<Record<string, string>> | undefined;
  readonly pools: readonly IpamPool[];
}

export interface IpamPool {
  readonly subnet: string;
  readonly ipRange?: string | undefined;
  readonly gateway?: string | undefined;
  readonly auxiliaryAddresses?: Readonly<Record<string, string>> | undefined;
}

/** A network as it is on disk; `ipam.pools` are those in force, chosen ones included. */
export interface NetworkRecord {
  readonly id: string;
  readonly name: string;
  readonly driver: 'bridge' | 'host' | 'null' | 'macvlan' | 'ipvlan';
  readonly predefined: boolean;
  readonly createdAt: number; // ms
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly ingress: boolean;
  /** Default `local`. */
  readonly scope?: string | undefined;
  readonly configOnly?: true | undefined;
  /** Name of the network whose settings it has. */
  readonly configFrom?: string | undefined;
  readonly enableIPv4: boolean;
  readonly enableIPv6: boolean;
  readonly ipam: IpamConfig;
  /** Families whose subnet was chosen for the user; such a network gives no addresses that are asked for. */
  readonly chosen?: readonly (4 | 6)[] | undefined;
  /** Pools that were asked for of a family that it does not have: shown, never in force. */
  readonly idlePools?: readonly IpamPool[] | undefined;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Its parent is an interface that was made for it. */
  readonly ownParent?: true | undefined;
  /** Name of the host's interface, of a bridge. */
  readonly bridge: string | undefined;
}

export interface ConnectRequest {
  readonly containerId: string;
  readonly containerName: string;
  /** Another of its names in a user network. */
  readonly hostname?: string | undefined;
  /** Pinned network namespace; without one only the address is set aside (the container does not run). */
  readonly netns?: string | undefined;
  readonly interfaceName?: string | undefined; // default: the first free ethN
  readonly ipv4?: string | undefined;
  readonly ipv6?: string | undefined;
  readonly mac?: string | undefined;
  /** More addresses of its interface, which no other network than the link knows. */
  readonly linkLocal?: readonly string[] | undefined;
  /** Names besides the container's own and its short id. */
  readonly aliases?: readonly string[] | undefined;
  /** `gw-priority`: the endpoint with the highest one has the default route; else docker's order. */
  readonly gatewayPriority?: number | undefined;
  readonly driverOptions?: Readonly<Record<string, string>> | undefined;
}

export interface EndpointRecord {
  readonly id: string;
  readonly networkId: string;
  readonly containerId: string;
  readonly containerName: string;
  readonly interfaceName: string;
  readonly ipv4:
    | { readonly address: string; readonly prefix: number; readonly gateway: string | undefined }
    | undefined;
  readonly ipv6:
    | { readonly address: string; readonly prefix: number; readonly gateway: string | undefined }
    | undefined;
  readonly mac: string;
  readonly linkLocal?: readonly string[] | undefined;
  readonly aliases: readonly string[];
  /** All names under which it is known: container name, aliases, short id. */
  readonly dnsNames: readonly string[];
  readonly gatewayPriority: number;
  readonly driverOptions: Readonly<Record<string, string>>;
}

export interface PortRequest extends Omit<PortMapping, 'hostPort'> {
  /** `undefined` or 0: any; a pair: the first free one of a range, ends included. */
  readonly hostPort: number | readonly [number, number] | undefined;
}

export interface PublishedPort {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly containerPort: number;
  readonly hostIp: string; // `0.0.0.0` and `::` are two entries
  readonly hostPort: number;
}

export interface NameService {
  readonly containerId: string;
  readonly netns: string;
  /** From a name to a container's id; only this container sees them. */
  readonly links?: Readonly<Record<string, string>> | undefined;
  /** Default: the servers of the host's resolv.conf. */
  readonly upstream?: readonly string[] | undefined;
}
