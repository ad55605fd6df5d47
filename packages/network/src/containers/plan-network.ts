import {
  type Cidr,
  type Clock,
  cidrsOverlap,
  formatIp,
  parseCidr,
  parseIp,
  type Random,
  WherryError,
} from '@wherry/base';
import type { CreateNetwork, IpamPool, NetworkRecord } from '../container-networks.ts';
import { AddressPool } from './address-pool.ts';
import { checkConfigUse, withConfigFrom } from './config-networks.ts';
import { chooseSubnet, type DefaultPool } from './default-pools.ts';
import { type DriverOptions, readDriverOptions } from './driver-options.ts';
import { checkPools } from './ipam-validation.ts';

/** What a new network depends on. */
export interface Surroundings {
  readonly networks: readonly NetworkRecord[];
  /** Ranges that something else on the machine uses. */
  readonly usedRanges: readonly Cidr[];
  /** Ranges that are fenced for others. */
  readonly fenced: readonly Cidr[];
  readonly pools: readonly DefaultPool[];
  /** IPv6 subnets of this machine, chosen once. */
  readonly ipv6Base: string;
  readonly bridgePrefix: string;
  readonly clock: Clock;
  readonly random: Random;
}

const longestName = 255;
const predefinedNames = ['bridge', 'host', 'none', 'default'];

/** The record of a network that is to be made. Throws `invalid`, `forbidden`, `alreadyExists`, `notFound` in docker's words. */
export function planNetwork(asked: CreateNetwork, around: Surroundings): NetworkRecord {
  const { name } = asked;
  if (typeof name !== 'string' || name.trim() === '' || name.length > longestName) {
    throw new WherryError('invalid', name.trim() === '' ? 'invalid name: ' : 'invalid name: name is too long');
  }
  // dockerd's text ends with a blank.
  if (predefinedNames.includes(name)) {
    throw new WherryError('forbidden', `operation is not permitted on predefined ${name} network `);
  }
  checkPools(poolsOf(asked), asked.enableIPv6 === true);
  if (around.networks.some((other) => other.name === name)) {
    throw new WherryError('alreadyExists', `network with name ${name} already exists`);
  }
  checkConfigUse(asked);
  if (asked.configOnly === true) return configNetwork(asked, around);
  const driver = driverOf(asked.driver);
  const request = withConfigFrom(asked, around.networks);
  const { enableIPv4 = true, enableIPv6 = false, ipam } = request;
  if (!enableIPv4 && !enableIPv6) throw new WherryError('invalid', 'IPv4 or IPv6 must be enabled');
  checkIpamDriver(ipam?.driver);
  if (request.ingress === true) {
    throw new WherryError('forbidden', 'Ingress network can only be global scope network');
  }
  const options = readDriverOptions(request.options ?? {});
  if (driver !== 'bridge') checkParent(driver, options);
  const id = request.id ?? around.random.hex(64);
  const given = poolsOf(request);
  const { pools, chosen } = choosePools(given, { enableIPv4, enableIPv6 }, around);
  const idle = enableIPv6 ? [] : given.filter(({ subnet }) => subnet.includes(':'));
  const bridge = driver === 'bridge' ? bridgeOf(id, options, around) : undefined;
  return {
    id,
    name,
    driver,
    predefined: false,
    createdAt: around.clock.now(),
    // Without a parent nothing leads out.
    internal: request.internal === true || (driver !== 'bridge' && options.parent === undefined),
    attachable: request.attachable ?? false,
    ingress: request.ingress ?? false,
    scope: request.scope || undefined,
    configFrom: request.configFrom || undefined,
    enableIPv4,
    enableIPv6,
    ipam: { driver: ipam?.driver || 'default', options: ipam?.options, pools },
    chosen,
    idlePools: idle.length === 0 ? undefined : idle,
    options: request.options ?? {},
    labels: request.labels ?? {},
    bridge,
  };
}

/** A network that only holds settings for others: nothing is chosen for it. dockerd shows it as of driver `null`. */
function configNetwork(request: CreateNetwork, { clock, random }: Surroundings): NetworkRecord {
  const { name, enableIPv4 = true, enableIPv6 = false, ipam, options = {}, labels = {} } = request;
  return {
    id: request.id ?? random.hex(64),
    name,
    driver: 'null',
    predefined: false,
    createdAt: clock.now(),
    internal: false,
    attachable: false,
    ingress: false,
    configOnly: true,
    enableIPv4,
    enableIPv6,
    ipam: { driver: ipam?.driver || 'default', options: ipam?.options, pools: poolsOf(request) },
    options,
    labels,
    bridge: undefined,
  };
}

function driverOf(driver: string | undefined): 'bridge' | 'macvlan' | 'ipvlan' {
  if (driver === undefined || driver === '' || driver === 'default') return 'bridge';
  if (driver === 'bridge' || driver === 'macvlan' || driver === 'ipvlan') return driver;
  if (driver === 'host' || driver === 'null') {
    throw new WherryError('forbidden', `only one instance of "${driver}" network is allowed`);
  }
  if (driver === 'overlay') {
    const how = 'Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
    throw new WherryError('unavailable', `This node is not a swarm manager. ${how}`);
  }
  throw new WherryError('notFound', `plugin ${JSON.stringify(driver)} not found`);
}

function checkIpamDriver(driver: string | undefined): void {
  if (driver === undefined || driver === '' || driver === 'default') return;
  if (driver === 'null') throw new WherryError('invalid', 'ipv4 pool is empty');
  throw new WherryError('notFound', `plugin ${JSON.stringify(driver)} not found`);
}

function checkParent(driver: 'macvlan' | 'ipvlan', { parent }: DriverOptions): void {
  if (parent === 'lo') throw new WherryError('invalid', `loopback interface is not a valid ${driver} parent link`);
  if (parent !== undefined && !/^[^\s/:]{1,15}$/.test(parent)) {
    throw new WherryError('invalid', `"${parent}" is not a name of a parent interface`);
  }
}

function poolsOf({ ipam }: CreateNetwork): IpamPool[] {
  return (ipam?.pools ?? []).map(withoutBlanks);
}

/** The API's empty texts mean that nothing was said. */
function withoutBlanks({ subnet, ipRange, gateway, auxiliaryAddresses }: IpamPool): IpamPool {
  return {
    subnet,
    ...(ipRange ? { ipRange } : {}),
    ...(gateway ? { gateway } : {}),
    ...(auxiliaryAddresses && Object.keys(auxiliaryAddresses).length > 0 ? { auxiliaryAddresses } : {}),
  };
}

function choosePools(
  given: readonly IpamPool[],
  { enableIPv4, enableIPv6 }: { readonly enableIPv4: boolean; readonly enableIPv6: boolean },
  { networks, usedRanges, fenced, pools, ipv6Base }: Surroundings,
): { pools: IpamPool[]; chosen: (4 | 6)[] } {
  const own = subnetsInForce(networks).map(parseCidr);
  const result: IpamPool[] = [];
  const chosen: (4 | 6)[] = [];
  for (const [family, length, enabled] of [
    [4, 4, enableIPv4],
    [6, 16, enableIPv6],
  ] as const) {
    if (!enabled) continue;
    const asked = given.filter(({ subnet }) => parseCidr(subnet).address.length === length);
    if (asked.length > 1) throw new WherryError('forbidden', "bridge driver doesn't support multiple subnets");
    const [pool] = asked;
    if (pool !== undefined) {
      const range = parseCidr(pool.subnet);
      if ([...own, ...fenced].some((other) => cidrsOverlap(other, range))) {
        throw new WherryError('forbidden', 'Pool overlaps with other one on this address space');
      }
      checkAuxiliary(pool);
      result.push(pool);
      continue;
    }
    const from = family === 4 ? pools : [{ base: ipv6Base, size: 64 }, ...pools];
    const subnet = chooseSubnet(from, [...own, ...usedRanges], family);
    // What docker chose it shows whole.
    chosen.push(family);
    result.push({ subnet, gateway: new AddressPool({ subnet }).gateway });
  }
  return { pools: result, chosen };
}

/** The subnets of networks that somebody may join. */
export function subnetsInForce(networks: readonly NetworkRecord[]): string[] {
  return networks
    .filter(({ configOnly }) => configOnly !== true)
    .flatMap(({ ipam }) => ipam.pools.map(({ subnet }) => subnet));
}

/** Auxiliary addresses are set aside after the gateway's, each once. */
function checkAuxiliary({ auxiliaryAddresses = {}, ...pool }: IpamPool): void {
  const taken = new Set([new AddressPool(pool).gateway]);
  for (const [name, address] of Object.entries(auxiliaryAddresses)) {
    const plain = formatIp(parseIp(address)!);
    if (taken.has(plain)) {
      const what = `failed to allocate secondary ip address (${name}:${address})`;
      throw new WherryError('internal', `${what}: Address already in use`);
    }
    taken.add(plain);
  }
}

function bridgeOf(id: string, { bridgeName }: DriverOptions, { networks, bridgePrefix }: Surroundings): string {
  const bridge = bridgeName ?? (bridgePrefix + id).slice(0, Math.min(bridgePrefix.length + 12, 15));
  const other = networks.find((network) => network.bridge === bridge);
  if (other === undefined) return bridge;
  const why = `conflicts with network ${other.id} (${bridge}): networks have same bridge name`;
  throw new WherryError('forbidden', `cannot create network ${id} (${bridge}): ${why}`);
}
