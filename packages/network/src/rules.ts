import type { Lease } from './address-book.ts';

/** What the rules of a bridge depend on. */
export interface RuleSettings {
  readonly table: string;
  readonly bridge: string;
  readonly podCidr: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
}

/**
 * The whole table of a pod network, replacing what is there in one transaction. Published ports are
 * rewritten before kube-proxy's rules see a packet.
 */
export function tableRules(settings: RuleSettings, leases: readonly Lease[]): string {
  const { table, bridge, podCidr, clusterCidr, serviceCidr } = settings;
  return `
add table ip ${table}
delete table ip ${table}
table ip ${table} {
  map host-ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map host-address-ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  set hairpin { type ipv4_addr . ipv4_addr; }
  chain publish {
    dnat ip to ip daddr . meta l4proto . th dport map @host-address-ports
    fib daddr type local dnat ip to meta l4proto . th dport map @host-ports
  }
  chain prerouting { type nat hook prerouting priority -110; policy accept; jump publish; }
  chain output { type nat hook output priority -110; policy accept; jump publish; }
  chain postrouting {
    type nat hook postrouting priority 110; policy accept;
    oifname "${bridge}" ip saddr 127.0.0.0/8 masquerade
    ip saddr . ip daddr @hairpin masquerade
    ip saddr ${podCidr} ip daddr != { ${clusterCidr}, ${serviceCidr} } oifname != "${bridge}" masquerade fully-random
  }
}
${leases.map((lease) => publishRules(table, lease)).join('\n')}`;
}

/** Adds the published ports of a lease; empty when it has none. */
export function publishRules(table: string, lease: Lease): string {
  return elements(lease)
    .map(({ set, element }) => `add element ip ${table} ${set} { ${element} }`)
    .join('\n');
}

/** Removes them; each is added first, so that removing what is not there is no error. */
export function unpublishRules(table: string, lease: Lease): string {
  return elements(lease)
    .flatMap(({ set, element }) => ['add', 'delete'].map((verb) => `${verb} element ip ${table} ${set} { ${element} }`))
    .join('\n');
}

/** Whether an address means every address of the node. */
export function isAnyAddress(hostIp: string | undefined): boolean {
  return hostIp === undefined || hostIp === '' || hostIp === '0.0.0.0' || hostIp === '::';
}

function elements(lease: Lease): { set: string; element: string }[] {
  const ports = lease.portMappings.map(({ protocol, hostIp, hostPort, containerPort }) => {
    const port = `${protocol.toLowerCase()} . ${hostPort}`;
    const target = `${lease.address} . ${containerPort}`;
    return isAnyAddress(hostIp)
      ? { set: 'host-ports', element: `${port} : ${target}` }
      : { set: 'host-address-ports', element: `${hostIp} . ${port} : ${target}` };
  });
  return ports.length === 0 ? [] : [{ set: 'hairpin', element: `${lease.address} . ${lease.address}` }, ...ports];
}
