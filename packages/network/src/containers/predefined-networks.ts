import { type Clock, parseCidr, type Random } from '@wherry/base';
import type { NetworkRecord } from '../container-networks.ts';
import { AddressPool } from './address-pool.ts';
import { chooseSubnet, type DefaultPool } from './default-pools.ts';
import type { HostSide } from './host-side.ts';
import type { LiveNetwork } from './live-network.ts';

/** The predefined networks that have no record yet. */
export function predefinedNetworks(
  host: HostSide,
  {
    live,
    clock,
    random,
    pools,
    bridges,
  }: {
    readonly live: ReadonlyMap<string, LiveNetwork>;
    readonly clock: Clock;
    readonly random: Random;
    readonly pools: readonly DefaultPool[];
    readonly bridges: readonly string[];
  },
): NetworkRecord[] {
  const known = new Set([...live.values()].filter(({ record }) => record.predefined).map(({ record }) => record.name));
  const base = {
    predefined: true,
    createdAt: clock.now(),
    internal: false,
    attachable: false,
    ingress: false,
    enableIPv4: true,
    enableIPv6: false,
    chosen: [4],
    options: {},
    labels: {},
    bridge: undefined,
  } as const;
  const missing: NetworkRecord[] = [];
  if (!known.has('bridge')) {
    const own = [...live.values()].flatMap(({ subnet4 }) => subnet4 ?? []);
    const subnet = chooseSubnet(pools, host.usedRanges([]).concat(own.map(parseCidr)), 4);
    const id = random.hex(64);
    const bridge = bridges.find((name) => host.isFree(name, { id })) ?? bridges[0]!;
    const pool = { subnet, gateway: new AddressPool({ subnet }).gateway };
    missing.push({
      ...base,
      id,
      name: 'bridge',
      driver: 'bridge',
      ipam: { driver: 'default', pools: [pool] },
      options: defaultBridgeOptions(bridge),
      bridge,
    });
  }
  for (const [name, driver] of [
    ['host', 'host'],
    ['none', 'null'],
  ] as const) {
    if (!known.has(name))
      missing.push({ ...base, id: random.hex(64), name, driver, ipam: { driver: 'default', pools: [] } });
  }
  return missing;
}

/** As dockerd shows them. */
export function defaultBridgeOptions(bridge: string): Readonly<Record<string, string>> {
  return {
    'com.docker.network.bridge.default_bridge': 'true',
    'com.docker.network.bridge.enable_icc': 'true',
    'com.docker.network.bridge.enable_ip_masquerade': 'true',
    'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0',
    'com.docker.network.bridge.name': bridge,
    'com.docker.network.driver.mtu': '1500',
  };
}
