/** What the fixed part of the table depends on. */
export interface TableSettings {
  readonly table: string;
  readonly serviceCidr: string | undefined;
  /** The bit of the packet mark that asks for masquerading. */
  readonly masqueradeBit: number;
}

/**
 * The fixed part of the table, in place of whatever is there. Rules of services are added to its
 * maps. The layout follows upstream's nftables mode (KEP-3866) with these differences: node ports
 * answer on every local address, loopback included; an endpoint that reaches itself is recognised
 * when the packet leaves, by one set for all services; unallocated cluster IPs are refused, not
 * dropped, so that a mistake shows at once.
 */
export function baseTable({ table, serviceCidr, masqueradeBit }: TableSettings): string {
  const bit = `0x${masqueradeBit.toString(16)}`;
  const unallocated = serviceCidr === undefined ? '' : `ip daddr ${serviceCidr} reject with icmp host-unreachable`;
  return `
add table ip ${table}
delete table ip ${table}
table ip ${table} {
  set cluster-ips { type ipv4_addr; }
  set hairpin { type ipv4_addr . ipv4_addr; }
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  map service-nodeports { type inet_proto . inet_service : verdict; }
  map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
  map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }
  chain refuse { reject; }
  chain masquerade-later { meta mark set meta mark or ${bit}; }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
    fib daddr type local meta l4proto . th dport vmap @service-nodeports
  }
  chain refuse-services { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
  chain refuse-nodeports { fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports; }
  chain refuse-other {
    ip daddr @cluster-ips reject
    ${unallocated}
  }
  chain filter-input {
    type filter hook input priority 0; policy accept;
    ct state new jump refuse-nodeports
    ct state new jump refuse-services
  }
  chain filter-forward {
    type filter hook forward priority 0; policy accept;
    ct state new jump refuse-services
    ct state new jump refuse-other
  }
  chain filter-output {
    type filter hook output priority 0; policy accept;
    ct state new jump refuse-services
    ct state new jump refuse-other
  }
  chain nat-prerouting { type nat hook prerouting priority -100; policy accept; jump services; }
  chain nat-output { type nat hook output priority -100; policy accept; jump services; }
  chain nat-postrouting {
    type nat hook postrouting priority 100; policy accept;
    ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random
    meta mark and ${bit} == 0 return
    meta mark set meta mark xor ${bit}
    masquerade fully-random
  }
}
`;
}
