import { type Clock, codeOf, type Logger, parseIp } from '@wherry/base';
import { Nftables } from '@wherry/linux';
import type { Answer } from 'dns-packet';
import type { EndpointRecord, NameService } from '../container-networks.ts';
import type { LiveNetwork } from './live-network.ts';

/** What somebody knows about a name and type: records, none of this type, or no such name. */
export type NameResolution =
  | { readonly kind: 'records'; readonly answers: readonly Answer[] }
  | { readonly kind: 'noData' }
  | { readonly kind: 'noName' };

/** Names for a server to answer; `undefined` leaves a name to the servers beyond. */
export interface NameSource {
  /** Answers are a resolver's, not a zone's own. */
  readonly authoritative: false;
  resolve(name: string, type: string): NameResolution | undefined;
}

/**
 * Starts a DNS server on UDP and TCP, which asks others for what its sources do not know, from the network
 * namespace `forward`. The cluster's server is one (`createDnsServer`).
 */
export type StartNameServer = (options: {
  readonly sources: readonly NameSource[];
  readonly addresses: readonly string[];
  readonly port: number;
  readonly netns: string;
  readonly forward: { readonly netns: string | undefined };
  readonly upstream: { readonly servers: readonly string[] } | undefined;
  /** Whether others may be asked at the moment. */
  readonly mayForward: () => boolean;
  readonly log: Logger;
  readonly clock: Clock;
}) => Promise<{ readonly port: number } & AsyncDisposable>;

/** What a container's view of the names depends on. */
export interface NamesView {
  /** Its networks, in the order in which they are asked. */
  networks(): readonly LiveNetwork[];
  readonly links: Readonly<Record<string, string>>;
}

/** Seconds, as dockerd answers. */
const ttl = 600;

/** The names that a container sees: its links, then names and aliases in each of its user networks. */
export function namesOf(view: NamesView): NameSource {
  const links = new Map(Object.entries(view.links).map(([name, id]) => [name.toLowerCase(), id]));
  const find = (name: string): readonly EndpointRecord[] => {
    const networks = view.networks();
    const linked = links.get(name);
    if (linked !== undefined) {
      const found = networks.flatMap((network) => network.endpointOf(linked)?.record ?? []);
      if (found.length > 0) return found.slice(0, 1);
    }
    for (const network of networks) {
      const found = network.named(name);
      if (found.length > 0) return found;
      // `web.net`: a name within one network.
      const suffix = `.${network.record.name.toLowerCase()}`;
      const qualified = name.endsWith(suffix) ? network.named(name.slice(0, -suffix.length)) : [];
      if (qualified.length > 0) return qualified;
    }
    return [];
  };
  return {
    authoritative: false,
    resolve(name, type) {
      if (type === 'PTR') return reverse(view.networks(), name);
      // Whatever else is asked of a name goes to the servers beyond.
      if (type !== 'A' && type !== 'AAAA' && type !== 'MX') return undefined;
      const endpoints = find(name);
      if (endpoints.length === 0) return undefined;
      const addresses = endpoints.flatMap(({ ipv4, ipv6 }) => {
        const address = type === 'A' ? ipv4?.address : type === 'AAAA' ? ipv6?.address : undefined;
        return address === undefined ? [] : [address];
      });
      if (addresses.length === 0) return { kind: 'noData' };
      const answers = addresses.map((data): Answer => ({ type: type as 'A', name, ttl, data }));
      return { kind: 'records', answers };
    },
  };
}

function reverse(networks: readonly LiveNetwork[], name: string): NameResolution | undefined {
  const address = addressOfReverse(name);
  if (address === undefined) return undefined;
  for (const network of networks) {
    const found = network.at(address);
    if (found === undefined) continue;
    return {
      kind: 'records',
      answers: [{ type: 'PTR', name, ttl, data: `${found.containerName}.${network.record.name}` }],
    };
  }
  return undefined;
}

/** The bytes, in text, of a name below `in-addr.arpa` or `ip6.arpa`. */
function addressOfReverse(name: string): string | undefined {
  const labels = name.split('.').reverse();
  if (name.endsWith('.in-addr.arpa')) {
    const address = labels.slice(2).join('.');
    return parseIp(address)?.length === 4 ? [...parseIp(address)!].join('.') : undefined;
  }
  const nibbles = labels.slice(2);
  if (!name.endsWith('.ip6.arpa') || nibbles.length !== 32) return undefined;
  const text = nibbles.join('').replace(/.{4}(?=.)/g, '$&:');
  return parseIp(text) === undefined ? undefined : text;
}

export const nameServerAddress = '127.0.0.11';
const table = 'wherry-names';

/**
 * Starts a container's own name server. It listens on any port of 127.0.0.11 in the container's namespace, and
 * a rule there leads port 53 to it, which stays free for a server of the container's. Who takes over from a former
 * daemon takes its port, if that is free, and leaves the rule alone: after a change of a chain the kernel lets nobody
 * close a socket of nftables before all processors have seen it, some 15 ms. Gives the server and its port.
 */
export async function startNames(
  start: StartNameServer,
  { netns, upstream }: NameService,
  {
    source,
    forward,
    formerPort = 0,
    isolated,
    log,
    clock,
  }: {
    readonly source: NameSource;
    readonly forward: string | undefined;
    /** Where the rule of this namespace leads already. */
    readonly formerPort?: number | undefined;
    /** The container reaches nothing outside, and neither do its questions. */
    readonly isolated: () => boolean;
    readonly log: Logger;
    readonly clock: Clock;
  },
): Promise<{ readonly port: number } & AsyncDisposable> {
  const options = {
    sources: [source],
    addresses: [nameServerAddress],
    netns,
    forward: { netns: forward },
    upstream: upstream && { servers: upstream },
    mayForward: () => !isolated(),
    log,
    clock,
  };
  const server = await start({ ...options, port: formerPort }).catch((error: unknown) => {
    if (formerPort === 0 || codeOf(error) !== 'conflict') throw error;
    return start({ ...options, port: 0 });
  });
  if (server.port === formerPort) return server;
  try {
    using nftables = Nftables.open({ netns });
    nftables.run(`
add table ip ${table}
add chain ip ${table} output { type nat hook output priority -100; policy accept; }
flush chain ip ${table} output
add rule ip ${table} output ip daddr ${nameServerAddress} meta l4proto { tcp, udp } th dport 53 dnat to ${nameServerAddress}:${server.port}`);
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}
