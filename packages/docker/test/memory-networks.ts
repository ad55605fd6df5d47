import { systemRandom, WherryError } from '@wherry/base';
import type {
  ConnectRequest,
  ContainerNetworks,
  EndpointRecord,
  MachinePort,
  NetworkRecord,
  PortRequest,
  PublishedPort,
} from '@wherry/network';

/** Networks without a kernel: addresses are handed out, nothing is connected. */
export class MemoryNetworks implements ContainerNetworks {
  readonly #networks: NetworkRecord[] = [];
  readonly #endpoints: EndpointRecord[] = [];
  readonly #ports = new Map<string, PublishedPort[]>();
  #next = 2;

  constructor() {
    this.#add('bridge', 'bridge', true);
    this.#add('host', 'host', true);
    this.#add('none', 'null', true);
  }

  #add(name: string, driver: NetworkRecord['driver'], predefined: boolean): NetworkRecord {
    const subnet = {
      subnet: `172.${17 + this.#networks.length}.0.0/16`,
      gateway: `172.${17 + this.#networks.length}.0.1`,
    };
    const record: NetworkRecord = {
      id: systemRandom.hex(64),
      name,
      driver,
      predefined,
      createdAt: 0,
      internal: false,
      attachable: false,
      ingress: false,
      enableIPv4: true,
      enableIPv6: false,
      ipam: { driver: 'default', pools: driver === 'bridge' ? [subnet] : [] },
      options: {},
      labels: {},
      bridge: undefined,
    };
    this.#networks.push(record);
    return record;
  }

  async create({ name }: { name: string }): Promise<NetworkRecord> {
    return this.#add(name, 'bridge', false);
  }

  find(reference: string): NetworkRecord | undefined {
    return this.#networks.find(({ id, name }) => id === reference || name === reference);
  }

  list(): readonly NetworkRecord[] {
    return this.#networks;
  }

  async remove(): Promise<void> {
    throw new WherryError('unsupported', 'networks of tests stay');
  }

  async connect(reference: string, request: ConnectRequest): Promise<EndpointRecord> {
    const network = this.find(reference) as NetworkRecord;
    const number = this.#next++;
    const prefix = (network.ipam.pools[0]?.gateway ?? '').replace(/1$/, '');
    const endpoint: EndpointRecord = {
      id: systemRandom.hex(64),
      networkId: network.id,
      containerId: request.containerId,
      containerName: request.containerName,
      interfaceName: 'eth0',
      ipv4: { address: request.ipv4 ?? `${prefix}${number}`, prefix: 16, gateway: network.ipam.pools[0]?.gateway },
      ipv6: undefined,
      mac: request.mac ?? '02:42:ac:11:00:02',
      aliases: request.aliases ?? [],
      dnsNames: [],
      gatewayPriority: 0,
      driverOptions: {},
    };
    this.#endpoints.push(endpoint);
    return endpoint;
  }

  async disconnect(reference: string, containerId: string): Promise<void> {
    const network = this.find(reference);
    const at = this.#endpoints.findIndex(
      (endpoint) => endpoint.networkId === network?.id && endpoint.containerId === containerId,
    );
    if (at >= 0) this.#endpoints.splice(at, 1);
  }

  endpoints(containerId: string): readonly (EndpointRecord & { readonly network: NetworkRecord })[] {
    return this.#endpoints
      .filter((endpoint) => endpoint.containerId === containerId)
      .map((endpoint) => ({ ...endpoint, network: this.find(endpoint.networkId) as NetworkRecord }));
  }

  endpointsOf(reference: string): readonly EndpointRecord[] {
    const network = this.find(reference);
    return this.#endpoints.filter(({ networkId }) => networkId === network?.id);
  }

  async rename(containerId: string, name: string): Promise<void> {
    for (const [at, endpoint] of this.#endpoints.entries())
      if (endpoint.containerId === containerId) this.#endpoints[at] = { ...endpoint, containerName: name };
  }

  portHolder({ protocol, hostPort }: MachinePort): string | undefined {
    const holds = (port: PublishedPort): boolean => port.protocol === protocol && port.hostPort === hostPort;
    return [...this.#ports].find(([, ports]) => ports.some(holds))?.[0];
  }

  leadsOut(containerId: string): boolean {
    return this.endpoints(containerId).some(({ network }) => network.driver === 'bridge' && !network.internal);
  }

  async publish(containerId: string, ports: readonly PortRequest[]): Promise<readonly PublishedPort[]> {
    const published = ports.map(({ protocol, containerPort, hostIp, hostPort }) => ({
      protocol,
      containerPort,
      hostIp: hostIp ?? '0.0.0.0',
      hostPort: typeof hostPort === 'number' ? hostPort : (hostPort?.[0] ?? 32_768),
    }));
    this.#ports.set(containerId, published);
    return published;
  }

  async unpublish(containerId: string): Promise<void> {
    this.#ports.delete(containerId);
  }

  published(containerId: string): readonly PublishedPort[] {
    return this.#ports.get(containerId) ?? [];
  }

  async serveNames(): Promise<AsyncDisposable> {
    return { [Symbol.asyncDispose]: async () => undefined };
  }

  async reconcile(running: ReadonlySet<string>): Promise<void> {
    for (const endpoint of [...this.#endpoints])
      if (!running.has(endpoint.containerId)) await this.disconnect(endpoint.networkId, endpoint.containerId);
  }

  async destroy(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
