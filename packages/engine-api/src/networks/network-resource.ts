import { rfc3339 } from '@wherry/base';
import type { EndpointRecord, NetworkRecord } from '@wherry/network';

type Members = Readonly<Record<string, unknown>>;

/** A network as the API shows it. `endpoints`: of the containers to show in it. `speaks`: as `Exchange.speaks`. */
export function networkResource(
  network: NetworkRecord,
  endpoints: readonly EndpointRecord[],
  speaks: (minor: number) => boolean,
): Members {
  return {
    Name: network.name,
    Id: network.id,
    Created: rfc3339(network.createdAt),
    Scope: scopeOf(network),
    Driver: network.driver,
    EnableIPv4: speaks(48) ? network.enableIPv4 : undefined,
    EnableIPv6: network.enableIPv6,
    IPAM: ipamOf(network),
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: network.ingress,
    ConfigFrom: { Network: network.configFrom ?? '' },
    ConfigOnly: network.configOnly === true,
    Containers: Object.fromEntries(
      endpoints.map(({ containerId, containerName, id, mac, ipv4, ipv6 }) => [
        containerId,
        {
          Name: containerName.replace(/^\//, ''),
          EndpointID: id,
          MacAddress: mac,
          IPv4Address: ipv4 === undefined ? '' : `${ipv4.address}/${ipv4.prefix}`,
          IPv6Address: ipv6 === undefined ? '' : `${ipv6.address}/${ipv6.prefix}`,
        },
      ]),
    ),
    Options: network.options,
    Labels: network.labels,
  };
}

/** The word that a network was made with. */
export function scopeOf({ scope = 'local' }: NetworkRecord): string {
  return scope;
}

function ipamOf({ ipam, predefined, chosen = [], idlePools = [] }: NetworkRecord): Members {
  // What the user gave comes before what was chosen for the other family.
  const isChosen = (subnet: string): boolean => chosen.includes(subnet.includes(':') ? 6 : 4);
  const given = ipam.pools.filter(({ subnet }) => !isChosen(subnet));
  const ordered = [...given, ...idlePools, ...ipam.pools.filter(({ subnet }) => isChosen(subnet))];
  const pools = ordered.map(({ subnet, ipRange, gateway, auxiliaryAddresses }) => ({
    Subnet: subnet,
    IPRange: ipRange || undefined,
    Gateway: gateway || undefined,
    AuxiliaryAddresses:
      auxiliaryAddresses && Object.keys(auxiliaryAddresses).length > 0 ? auxiliaryAddresses : undefined,
  }));
  return {
    Driver: ipam.driver,
    // dockerd gives null for those that it makes by itself.
    Options: predefined ? null : (ipam.options ?? {}),
    Config: predefined && pools.length === 0 ? null : pools,
  };
}
