import type { V1Endpoint, V1EndpointSlice, V1Namespace, V1Service, V1ServicePort } from '@wherry/api';
import { type Cidr, cidrContains, parseCidr, parseIp } from '@wherry/base';
import { type Informer, type InformerFactory, resources } from '@wherry/client';
import type { Answer } from 'dns-packet';
import { type RecordSource, type Resolution, startOfAuthority } from './source.ts';

/** Seconds that resolvers may keep what they were told, and that something is not there. */
const ttl = 30;
const negativeTtl = 5;

const noData: Resolution = { kind: 'noData' };
const noName: Resolution = { kind: 'noName' };

/** What `createClusterSource` needs to know. */
export interface ClusterSourceOptions {
  readonly informers: InformerFactory;
  /** Default `cluster.local`. */
  readonly zone?: string | undefined;
  /** Pod and service ranges: reverse names in them are never asked elsewhere. */
  readonly ranges: readonly string[];
}

/** The names of a cluster. */
export interface ClusterSource extends RecordSource {
  /** Resolves when services, endpoints and namespaces are known; before that, names seem missing. */
  readonly synced: Promise<void>;
}

/** Answers as the Kubernetes DNS specification 1.1.0 says, from the local copies of services, endpoint slices and namespaces. */
export function createClusterSource(options: ClusterSourceOptions): ClusterSource {
  return new ClusterNames(options);
}

interface NamedEndpoint {
  readonly name: string;
  readonly ip: string;
}

const serviceNameLabel = 'kubernetes.io/service-name';

class ClusterNames implements ClusterSource {
  readonly soa: Answer;
  readonly synced: Promise<void>;
  readonly #zone: string;
  readonly #ranges: readonly Cidr[];
  readonly #services: Informer<V1Service>;
  readonly #slices: Informer<V1EndpointSlice>;
  readonly #namespaces: Informer<V1Namespace>;

  constructor({ informers, zone = 'cluster.local', ranges }: ClusterSourceOptions) {
    this.#zone = zone.toLowerCase();
    this.#ranges = ranges.map(parseCidr);
    this.soa = startOfAuthority(this.#zone, negativeTtl);
    this.#services = informers.informer<V1Service>(resources.services, {
      indexes: { ip: ({ spec }) => [...(spec?.clusterIPs ?? [spec?.clusterIP ?? '']), ...(spec?.externalIPs ?? [])] },
    });
    this.#slices = informers.informer<V1EndpointSlice>(resources.endpointSlices, {
      indexes: {
        service: (slice) => [serviceKeyOf(slice)],
        endpointIp: ({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses),
      },
    });
    this.#namespaces = informers.informer<V1Namespace>(resources.namespaces);
    const all = [this.#services.synced, this.#slices.synced, this.#namespaces.synced];
    this.synced = Promise.all(all).then(() => undefined);
  }

  resolve(name: string, type: string): Resolution | undefined {
    if (name.endsWith('.in-addr.arpa')) return this.#reverse(name, type);
    if (name === this.#zone) return type === 'SOA' ? records([this.soa]) : type === 'NS' ? this.#nameServer() : noData;
    if (!name.endsWith(`.${this.#zone}`)) return undefined;
    const labels = name.slice(0, -this.#zone.length - 1).split('.');
    const kind = labels.pop();
    if (kind === 'dns-version' && labels.length === 0) {
      return type === 'TXT' ? records([{ type: 'TXT', name, ttl, data: '1.1.0' }]) : noData;
    }
    if (kind === 'dns' && labels.join() === 'ns') return noData;
    if (kind !== 'svc' && kind !== 'pod') return noName;
    const namespace = labels.pop();
    if (namespace === undefined) return noData;
    if (this.#namespaces.get(namespace) === undefined) return noName;
    if (labels.length === 0) return noData;
    return kind === 'pod' ? podAddress(name, labels, type) : this.#service(name, labels, namespace, type);
  }

  #nameServer(): Resolution {
    return records([{ type: 'NS', name: this.#zone, ttl, data: `ns.dns.${this.#zone}` }]);
  }

  #service(name: string, labels: readonly string[], namespace: string, type: string): Resolution {
    const service = this.#services.get(`${namespace}/${labels.at(-1)}`);
    if (service?.spec === undefined) return noName;
    if (service.spec.type === 'ExternalName') {
      const target = service.spec.externalName?.replace(/\.$/, '');
      if (labels.length > 1 || target === undefined) return noName;
      return records([{ type: 'CNAME', name, ttl, data: target }]);
    }
    const more = labels.slice(0, -1);
    if (more.length === 0) {
      return type === 'SRV' ? this.#ports(name, service) : addresses(name, this.#addressesOf(service), type);
    }
    if (more.length === 2 && more.every((label) => label.startsWith('_'))) {
      const [port = '', protocol = ''] = more.map((label) => label.slice(1));
      const found = this.#ports(name, service, port, protocol);
      return found.kind === 'records' && type !== 'SRV' ? noData : found;
    }
    // `_tcp.web.default.svc` exists as a step on the way to its ports.
    if (more.length === 1 && /^_(tcp|udp|sctp)$/.test(more[0] ?? '')) return noData;
    if (more.length > 1 || !isHeadless(service)) return noName;
    const ips = this.#endpointsOf(service).filter((endpoint) => endpoint.name === more[0]);
    return ips.length === 0
      ? noName
      : addresses(
          name,
          ips.map(({ ip }) => ip),
          type,
        );
  }

  #addressesOf(service: V1Service): string[] {
    if (isHeadless(service)) return [...new Set(this.#endpointsOf(service).map(({ ip }) => ip))];
    return service.spec?.clusterIPs ?? [service.spec?.clusterIP ?? ''];
  }

  /** SRV records: of every port, or of the named one with its protocol. */
  #ports(name: string, service: V1Service, port?: string, protocol?: string): Resolution {
    const host = this.#nameOf(service);
    const matches = (candidate: { name?: string | undefined; protocol?: string | undefined }): boolean =>
      port === undefined || (candidate.name === port && (candidate.protocol ?? 'TCP').toLowerCase() === protocol);
    const targets: { target: string; ip: string; port: number }[] = [];
    if (isHeadless(service)) {
      for (const slice of this.#slicesOf(service)) {
        for (const { port: number } of (slice.ports ?? []).filter(matches)) {
          if (number === undefined) continue;
          for (const endpoint of endpointsIn(slice, service)) {
            targets.push({ target: `${endpoint.name}.${host}`, ip: endpoint.ip, port: number });
          }
        }
      }
    } else {
      for (const { port: number } of (service.spec?.ports ?? ([] as V1ServicePort[])).filter(matches)) {
        targets.push({ target: host, ip: service.spec?.clusterIP ?? '', port: number });
      }
    }
    if (targets.length === 0) return noName;
    const weight = Math.max(Math.floor(100 / targets.length), 1);
    const additionals = new Map(targets.map(({ target, ip }) => [`${target} ${ip}`, addressRecord(target, ip)]));
    return {
      kind: 'records',
      answers: targets.map(({ target, port: number }) => ({
        type: 'SRV',
        name,
        ttl,
        data: { priority: 0, weight, port: number, target },
      })),
      additionals: [...additionals.values()],
    };
  }

  #reverse(name: string, type: string): Resolution | undefined {
    const ip = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
    const bytes = parseIp(ip);
    if (bytes === undefined || !this.#ranges.some((range) => cidrContains(range, bytes))) return undefined;
    const names = this.#services.byIndex('ip', ip).map((service) => this.#nameOf(service));
    for (const slice of this.#slices.byIndex('endpointIp', ip)) {
      const service = this.#services.get(serviceKeyOf(slice));
      if (service === undefined || !isHeadless(service)) continue;
      for (const endpoint of endpointsIn(slice, service)) {
        if (endpoint.ip === ip) names.push(`${endpoint.name}.${this.#nameOf(service)}`);
      }
    }
    if (names.length === 0) return noName;
    if (type !== 'PTR') return noData;
    return records([...new Set(names)].map((data) => ({ type: 'PTR', name, ttl, data })));
  }

  #slicesOf({ metadata }: V1Service): readonly V1EndpointSlice[] {
    return this.#slices.byIndex('service', `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`);
  }

  #endpointsOf(service: V1Service): NamedEndpoint[] {
    return this.#slicesOf(service).flatMap((slice) => endpointsIn(slice, service));
  }

  #nameOf({ metadata }: V1Service): string {
    return `${metadata?.name ?? ''}.${metadata?.namespace ?? ''}.svc.${this.#zone}`;
  }
}

function endpointsIn(slice: V1EndpointSlice, { spec }: V1Service): NamedEndpoint[] {
  const shown = ({ conditions }: V1Endpoint): boolean =>
    (conditions?.ready ?? true) || spec?.publishNotReadyAddresses === true;
  return (slice.endpoints ?? []).filter(shown).flatMap(({ addresses: ips, hostname }) =>
    // A host name is a claim of the pod about itself; without one the address is the name.
    ips.slice(0, 1).map((ip) => ({ ip, name: hostname?.toLowerCase() || ip.replace(/[.:]/g, '-') })),
  );
}

function isHeadless({ spec }: V1Service): boolean {
  return spec?.clusterIP === undefined || spec.clusterIP === '' || spec.clusterIP === 'None';
}

function serviceKeyOf({ metadata }: V1EndpointSlice): string {
  return `${metadata?.namespace ?? ''}/${metadata?.labels?.[serviceNameLabel] ?? ''}`;
}

/** `10-244-0-5.default.pod.cluster.local`: any address, as upstream's default (`pods insecure`). */
function podAddress(name: string, labels: readonly string[], type: string): Resolution {
  const [label = ''] = labels;
  const ip = label.replaceAll('-', '.');
  if (labels.length > 1 || parseIp(ip) === undefined) return noName;
  return addresses(name, [ip], type);
}

function addresses(name: string, ips: readonly string[], type: string): Resolution {
  const known = ips.filter((ip) => parseIp(ip) !== undefined).map((ip) => addressRecord(name, ip));
  return records(known.filter((record) => record.type === type));
}

function addressRecord(name: string, ip: string): Answer {
  return { type: ip.includes(':') ? 'AAAA' : 'A', name, ttl, data: ip };
}

function records(answers: readonly Answer[]): Resolution {
  return answers.length === 0 ? noData : { kind: 'records', answers };
}
