import { parseIp } from '@wherry/base';
import type { NetworkRecord } from '../container-networks.ts';
import type { DriverOptions, GatewayMode } from './driver-options.ts';

/** What the rules of a network depend on. */
export interface RuledNetwork {
  readonly record: NetworkRecord;
  readonly options: DriverOptions;
  readonly bridge: string;
  readonly subnet4: string | undefined;
  readonly subnet6: string | undefined;
}

/** A published port and where it leads. */
export interface PortRule {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly hostIp: string;
  readonly hostPort: number;
  readonly target: string;
  readonly containerPort: number;
}

/** What a network adds to the table. */
interface NetworkRules {
  readonly chains: readonly { readonly name: string; readonly rules: readonly string[] }[];
  readonly elements: readonly { readonly map: string; readonly element: string }[];
}

/**
 * The whole table, replacing what is there in one transaction. Networks have chains of their own, found by their
 * interface or subnet in maps; ports are elements of maps. So a packet's way and a change cost the same however
 * many there are.
 */
export function containerTable(
  table: string,
  walls: readonly string[],
  networks: readonly RuledNetwork[],
  ports: readonly PortRule[],
): string {
  const parts = networks.map(rulesOf);
  const chains = parts.flatMap((part) => part.chains);
  const elements = new Map<string, string[]>([['walls', walls.map((name) => JSON.stringify(name))]]);
  const all = [
    ...parts.flatMap((part) => part.elements),
    ...ports.map((port) => ({ map: mapOf(port), element: elementOf(port) })),
  ];
  for (const { map, element } of all) elements.set(map, [...(elements.get(map) ?? []), element]);
  // nft 1.0.6 cannot add elements of an interval map in the transaction that makes it, but for in its body.
  const filled = (name: string): string => {
    const known = elements.get(name) ?? [];
    return known.length === 0 ? '' : `elements = { ${known.join(', ')} }`;
  };
  return `
add table inet ${table}
delete table inet ${table}
table inet ${table} {
  map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; ${filled('ports4')} }
  map ports6 { type inet_proto . inet_service : ipv6_addr . inet_service; ${filled('ports6')} }
  map address-ports4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; ${filled('address-ports4')} }
  map address-ports6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; ${filled('address-ports6')} }
  map sources4 { type ipv4_addr : verdict; flags interval; ${filled('sources4')} }
  map sources6 { type ipv6_addr : verdict; flags interval; ${filled('sources6')} }
  map leaving { type ifname : verdict; ${filled('leaving')} }
  map arriving { type ifname : verdict; ${filled('arriving')} }
  set bridges { type ifname; ${filled('bridges')} }
  set walls { type ifname; ${filled('walls')} }
${chains.map(({ name, rules }) => `  chain ${name} {\n    ${rules.join('\n    ')}\n  }`).join('\n')}
  chain publish {
    dnat ip to ip daddr . meta l4proto . th dport map @address-ports4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @address-ports6
    meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @ports4
    ip6 daddr != ::1 fib daddr type local dnat ip6 to meta l4proto . th dport map @ports6
  }
  chain early {
    type filter hook prerouting priority -300; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
    iifname @bridges ip saddr 127.0.0.0/8 drop
  }
  chain prerouting { type nat hook prerouting priority -110; policy accept; jump publish; }
  chain output { type nat hook output priority -110; policy accept; jump publish; }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    ip saddr vmap @sources4
    ip6 saddr vmap @sources6
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    iifname vmap @leaving
    oifname vmap @arriving
  }
}`;
}

/** Adds a network, or writes its rules anew. */
export function networkRules(table: string, network: RuledNetwork): string {
  const { chains, elements } = rulesOf(network);
  return [
    ...chains.flatMap(({ name, rules }) => [
      `add chain inet ${table} ${name}`,
      `flush chain inet ${table} ${name}`,
      ...rules.map((rule) => `add rule inet ${table} ${name} ${rule}`),
    ]),
    ...elements.map(({ map, element }) => `add element inet ${table} ${map} { ${element} }`),
  ].join('\n');
}

/** Takes a network out; what is not there is no error. */
export function withoutNetwork(table: string, network: RuledNetwork): string {
  const { chains, elements } = rulesOf(network);
  return [
    ...chains.map(({ name }) => `add chain inet ${table} ${name}`),
    ...elements.flatMap(({ map, element }) => both(table, map, element)),
    ...chains.map(({ name }) => `flush chain inet ${table} ${name}\ndelete chain inet ${table} ${name}`),
  ].join('\n');
}

function rulesOf(network: RuledNetwork): NetworkRules {
  const { record, options, bridge } = network;
  const name = JSON.stringify(bridge);
  const chainOf = (kind: string): string => `${kind}-${record.id.slice(0, 12)}`;
  const isOpen = (mode: GatewayMode): boolean => mode === 'routed' || mode === 'nat-unprotected';
  const some = (...rules: (string | false)[]): string[] => rules.filter((rule) => rule !== false);
  const sources = ([4, 6] as const).flatMap((family) => sourceRules(network, family, chainOf(`source${family}`)));
  return {
    chains: [
      {
        name: chainOf('leaving'),
        rules: some(
          options.interContainer ? `oifname ${name} accept` : `oifname ${name} ct status dnat accept`,
          !options.interContainer && `oifname ${name} drop`,
          record.internal && 'drop',
          'ct status dnat accept',
          'oifname @bridges drop',
          'oifname @walls drop',
          'accept',
        ),
      },
      {
        name: chainOf('arriving'),
        rules: some(
          record.internal && 'drop',
          'ct status dnat accept',
          isOpen(options.gatewayMode4) && 'meta nfproto ipv4 accept',
          isOpen(options.gatewayMode6) && 'meta nfproto ipv6 accept',
          'drop',
        ),
      },
      ...sources.map(({ chain }) => chain),
    ],
    elements: [
      { map: 'leaving', element: `${name} : goto ${chainOf('leaving')}` },
      { map: 'arriving', element: `${name} : goto ${chainOf('arriving')}` },
      { map: 'bridges', element: name },
      ...sources.map(({ element }) => element),
    ],
  };
}

/** Which address packets of a network leave with: the machine's, unless they stay inside. */
function sourceRules({ record, options, bridge, subnet4, subnet6 }: RuledNetwork, family: 4 | 6, title: string) {
  const subnet = family === 4 ? subnet4 : subnet6;
  if (record.internal || subnet === undefined) return [];
  const own = family === 4 ? options.sourceAddress4 : options.sourceAddress6;
  const mode = family === 4 ? options.gatewayMode4 : options.gatewayMode6;
  const translate = options.masquerade && (mode === 'nat' || mode === 'nat-unprotected');
  const rules = [
    // Who reaches a neighbour by the machine's address has to get the answer from there.
    `oifname ${JSON.stringify(bridge)} ct status dnat masquerade`,
    `oifname ${JSON.stringify(bridge)} return`,
  ];
  if (translate) rules.push(own === undefined ? 'masquerade' : `snat ${family === 4 ? 'ip' : 'ip6'} to ${own}`);
  return [
    { chain: { name: title, rules }, element: { map: `sources${family}`, element: `${subnet} : goto ${title}` } },
  ];
}

/** Adds published ports. */
export function portRules(table: string, ports: readonly PortRule[]): string {
  return ports.map((port) => `add element inet ${table} ${mapOf(port)} { ${elementOf(port)} }`).join('\n');
}

/** Takes published ports out; what is not there is no error. */
export function withoutPorts(table: string, ports: readonly PortRule[]): string {
  return ports.flatMap((port) => both(table, mapOf(port), elementOf(port))).join('\n');
}

/** Each is added first, so that deleting what is not there is no error. */
function both(table: string, map: string, element: string): string[] {
  return ['add', 'delete'].map((verb) => `${verb} element inet ${table} ${map} { ${element} }`);
}

/** Whether an address stands for every address of the machine, of its family. */
export function isAny(address: string): boolean {
  return parseIp(address)?.every((byte) => byte === 0) ?? true;
}

function mapOf({ hostIp }: PortRule): string {
  return `${isAny(hostIp) ? '' : 'address-'}ports${hostIp.includes(':') ? 6 : 4}`;
}

function elementOf({ protocol, hostIp, hostPort, target, containerPort }: PortRule): string {
  const port = `${protocol.toLowerCase()} . ${hostPort}`;
  return `${isAny(hostIp) ? '' : `${hostIp} . `}${port} : ${target} . ${containerPort}`;
}
