import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  type Cidr,
  cidrContains,
  cidrsOverlap,
  errnoOf,
  messageOf,
  parseCidr,
  parseIp,
  WherryError,
  writeFileAtomically,
} from '@wherry/base';
import { parseInsecureRegistry, parseRegistryMirror } from '@wherry/oci';
import type { ClusterConfig } from './cluster-config.ts';
import { parseRegistryAddress } from './registry-address.ts';
import { parseRuntime } from './runtimes.ts';
import type { Slots } from './slots.ts';
import { hostUserMappings } from './user-mappings.ts';

/** What may be another at each start. */
type Changeable = Pick<
  ClusterConfig,
  'registryMirrors' | 'insecureRegistries' | 'registry' | 'runtimes' | 'usersRemap'
>;

/** Where clusters are remembered, and where their files go by default. */
export interface Home {
  readonly directory: string; // /var/lib/wherry
  readonly runDirectory: string; // /run/wherry
}

export interface ClusterWishes {
  readonly name: string;
  readonly rootDirectory?: string | undefined;
  readonly nodeName?: string | undefined;
  readonly nodeIp?: string | undefined;
  readonly apiPort?: number | undefined;
  readonly listenAddress?: string | undefined;
  readonly clusterCidr?: string | undefined;
  readonly serviceCidr?: string | undefined;
  readonly cgroupParent?: string | undefined;
  readonly engineOnly?: boolean | undefined;
  /** Empty for none from now on; what is not given stays as it is. */
  /** `NAME=PATH` each. */
  readonly runtimes?: readonly string[] | undefined;
  readonly registryMirrors?: readonly string[] | undefined;
  readonly insecureRegistries?: readonly string[] | undefined;
  /** `off` for none from now on. */
  readonly registry?: string | undefined;
  /** Empty for the machine's from now on. */
  readonly usersRemap?: string | undefined;
}

const namePattern = /^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/;

/** Fails with `invalid` unless the name can stand in paths, interface and host names. */
export function checkClusterName(name: string): void {
  if (!namePattern.test(name))
    throw new WherryError(
      'invalid',
      `invalid cluster name ${JSON.stringify(name)}: use at most 32 lower-case letters, digits and '-', with a letter or digit at both ends`,
    );
}

const recordPath = (home: Home, name: string): string => join(home.directory, 'clusters', `${name}.json`);

/** The clusters that this machine remembers, by name. */
export async function listClusters(home: Home): Promise<readonly ClusterConfig[]> {
  let files: string[];
  try {
    files = await readdir(join(home.directory, 'clusters'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
  const names = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -5));
  const configs = await Promise.all(names.sort().map((name) => findCluster(home, name)));
  return configs.filter((config) => config !== undefined);
}

/** A remembered cluster, or `undefined`. A damaged record fails with `corrupt` and its path. */
export async function findCluster(home: Home, name: string): Promise<ClusterConfig | undefined> {
  checkClusterName(name);
  const path = recordPath(home, name);
  try {
    const config = JSON.parse(await readFile(path, 'utf8')) as ClusterConfig;
    if (config.formatVersion !== 1) throw new Error(`unknown format version ${String(config.formatVersion)}`);
    return config;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw new WherryError('corrupt', `cluster record ${path}: ${messageOf(error)}`, { cause: error });
  }
}

export async function forgetCluster(home: Home, name: string): Promise<void> {
  await rm(recordPath(home, name), { force: true });
}

/**
 * The remembered cluster of this name, or a new one that stands beside all the others. `isRunning` says whether it has
 * a daemon, which must start anew for some wishes to hold; a new one's number is claimed in `slots`.
 */
export async function ensureCluster(
  home: Home,
  wishes: ClusterWishes,
  isRunning: (config: ClusterConfig) => Promise<boolean> = async () => false,
  slots: Slots = ownSlots,
): Promise<ClusterConfig> {
  const present = await findCluster(home, wishes.name);
  const changeable = changeableOf(wishes);
  if (present) {
    refuseChanges(present, wishes);
    slots.claim(slotOf(present.bridge)); // a `down` or a new start of the machine gave it back
    return await changed(home, present, changeable, isRunning);
  }
  const others = await listClusters(home);
  const rootDirectory =
    wishes.rootDirectory === undefined ? join(home.directory, 'machines', wishes.name) : resolve(wishes.rootDirectory);
  const taken = others.find((other) => other.rootDirectory === rootDirectory);
  if (taken)
    throw new WherryError(
      'conflict',
      `root directory ${rootDirectory} belongs to cluster ${JSON.stringify(taken.name)}`,
    );
  const slot = claimFreeSlot(others, slots);
  try {
    return await remembered(home, newCluster(home, wishes, { slot, rootDirectory, others }));
  } catch (error) {
    slots.release(slot);
    throw error;
  }
}

/** Of a process that knows of no others. */
const ownSlots: Slots = { used: () => new Set(), claim: () => true, release: () => undefined };

/** Throws `invalid`, `conflict`. */
function newCluster(
  home: Home,
  wishes: ClusterWishes,
  place: { readonly slot: number; readonly rootDirectory: string; readonly others: readonly ClusterConfig[] },
): ClusterConfig {
  const { slot, rootDirectory, others } = place;
  const config: ClusterConfig = {
    formatVersion: 1,
    name: wishes.name,
    rootDirectory,
    runDirectory: join(home.runDirectory, wishes.name),
    cgroupParent: wishes.cgroupParent ?? `wherry-${wishes.name}`,
    nodeName: wishes.nodeName ?? nodeNameOf(hostname()),
    nodeIp: wishes.nodeIp,
    clusterCidr: wishes.clusterCidr ?? `10.${244 - slot}.0.0/16`,
    serviceCidr: wishes.serviceCidr ?? (slot === 0 ? '10.96.0.0/12' : `10.${111 + slot}.0.0/16`),
    bridge: `wherry${slot}`,
    apiPort: wishes.apiPort ?? 6443 + slot,
    listenAddresses: [wishes.listenAddress ?? '127.0.0.1'],
    clusterDomain: 'cluster.local',
    ...(wishes.engineOnly === true ? { engineOnly: true } : {}),
    dockerBridge: freeDockerBridge(slot, others),
    ...changeableOf(wishes),
  };
  checkAddresses(config);
  const clash = rangeClash(config);
  if (clash) throw new WherryError('conflict', clash);
  return config;
}

async function remembered(home: Home, config: ClusterConfig): Promise<ClusterConfig> {
  await mkdir(join(home.directory, 'clusters'), { recursive: true, mode: 0o700 });
  await remember(home, config);
  return config;
}

async function remember(home: Home, config: ClusterConfig): Promise<void> {
  await writeFileAtomically(recordPath(home, config.name), `${JSON.stringify(config, null, 2)}\n`);
}

/** A remembered cluster with what is wished for its next start. Throws `conflict` where that is not to come. */
async function changed(
  home: Home,
  present: ClusterConfig,
  wished: Changeable,
  isRunning: (config: ClusterConfig) => Promise<boolean>,
): Promise<ClusterConfig> {
  const config = { ...present, ...wished };
  // As it is written: what is undefined is not.
  if (isDeepStrictEqual(JSON.parse(JSON.stringify(config)), present)) return present;
  if (await isRunning(present)) {
    const named = present.name === 'wherry' ? '' : ` --name ${present.name}`;
    throw new WherryError(
      'conflict',
      `${JSON.stringify(present.name)} runs with other settings; stop it first with "wherry down${named}"`,
    );
  }
  await remember(home, config);
  return config;
}

/** Throws `invalid`, as dockerd refuses the flags. */
function changeableOf({
  registryMirrors,
  insecureRegistries,
  registry,
  runtimes,
  usersRemap,
}: ClusterWishes): Changeable {
  return {
    ...(runtimes && { runtimes: runtimes.map((text) => inFlag('--add-runtime', text, parseRuntime)) }),
    ...(usersRemap === '' && { usersRemap: undefined }),
    ...(usersRemap !== undefined &&
      usersRemap !== '' && {
        usersRemap: inFlag('--userns-remap', usersRemap, (text) => {
          hostUserMappings(text);
          return text;
        }),
      }),
    ...(registry === 'off' && { registry: undefined }),
    ...(registry !== undefined &&
      registry !== 'off' && { registry: inFlag('--registry', registry, parseRegistryAddress) }),
    ...(registryMirrors && {
      registryMirrors: registryMirrors.map((text) => inFlag('--registry-mirror', text, parseRegistryMirror)),
    }),
    ...(insecureRegistries && {
      insecureRegistries: insecureRegistries.map((text) => inFlag('--insecure-registry', text, parseInsecureRegistry)),
    }),
  };
}

function inFlag<T>(flag: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    const words = `invalid argument ${JSON.stringify(text)} for "${flag}" flag: ${messageOf(error)}`;
    throw new WherryError('invalid', words, { cause: error });
  }
}

function refuseChanges(present: ClusterConfig, wishes: ClusterWishes): void {
  const asked = {
    rootDirectory: wishes.rootDirectory && resolve(wishes.rootDirectory),
    nodeName: wishes.nodeName,
    clusterCidr: wishes.clusterCidr,
    serviceCidr: wishes.serviceCidr,
    apiPort: wishes.apiPort,
    engineOnly: wishes.engineOnly,
  };
  for (const [key, value] of Object.entries(asked)) {
    const has = present[key as keyof ClusterConfig];
    if (value !== undefined && value !== has)
      throw new WherryError(
        'conflict',
        `cluster ${JSON.stringify(present.name)} exists with ${key} ${String(has)}; it cannot become ${String(value)} (remove it with "wherry down --name ${present.name} --purge")`,
      );
  }
}

/** The lowest number whose bridge, port and ranges nobody has. */
function claimFreeSlot(others: readonly ClusterConfig[], slots: Slots): number {
  const used = new Set([...others.map((other) => slotOf(other.bridge)), ...slots.used()]);
  for (let slot = 0; slot < 64; slot++) if (!used.has(slot) && slots.claim(slot)) return slot;
  throw new WherryError('exhausted', 'this machine has 64 clusters already; remove one with "wherry down --purge"');
}

/** Docker's own name for it, where neither a real docker nor another cluster has it. */
function freeDockerBridge(slot: number, others: readonly ClusterConfig[]): string {
  const taken = 'docker0' in networkInterfaces() || others.some((other) => dockerBridgeOf(other) === 'docker0');
  return taken ? ownDockerBridge(slot) : 'docker0';
}

const ownDockerBridge = (slot: number): string => `wdocker${slot}`;

/** The name of docker's default bridge of a cluster. */
export function dockerBridgeOf({ dockerBridge, bridge }: ClusterConfig): string {
  return dockerBridge ?? ownDockerBridge(slotOf(bridge));
}

/** The number in the names of a cluster's interfaces and tables. */
export function slotOf(bridge: string): number {
  return Number(/\d+$/.exec(bridge)?.[0] ?? 0);
}

/** A host name as a node name: lower case, DNS subdomain. */
function nodeNameOf(host: string): string {
  return (
    host
      .toLowerCase()
      .replace(/[^a-z0-9.-]/g, '-')
      .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '') || 'node'
  );
}

/** Fails with `invalid` for what is no address, range or port, naming the flag. */
function checkAddresses({ clusterCidr, serviceCidr, apiPort, nodeIp, listenAddresses }: ClusterConfig): void {
  const pods = rangeOf('--cluster-cidr', clusterCidr, 24);
  const services = rangeOf('--service-cidr', serviceCidr, 28);
  if (cidrsOverlap(pods, services))
    throw new WherryError(
      'invalid',
      `the ranges of pods (${clusterCidr}) and services (${serviceCidr}) overlap; choose others with --cluster-cidr and --service-cidr`,
    );
  if (apiPort < 1 || apiPort > 65_535)
    throw new WherryError('invalid', `invalid value ${apiPort} for --api-port: a port is a number from 1 to 65535`);
  for (const [flag, address] of [
    ['--node-ip', nodeIp],
    ...listenAddresses.map((one) => ['--listen-address', one]),
  ] as const)
    if (address !== undefined && !isIPv4(address))
      throw new WherryError(
        'invalid',
        `invalid value ${JSON.stringify(address)} for ${flag}: it is not an IPv4 address`,
      );
}

/** An IPv4 range of at most `longest` bits of prefix. */
function rangeOf(flag: string, text: string, longest: number): Cidr {
  let range: Cidr | undefined;
  try {
    range = parseCidr(text);
  } catch {}
  if (range === undefined || !isIPv4(text.split('/')[0]!) || range.prefix > longest)
    throw new WherryError(
      'invalid',
      `invalid value ${JSON.stringify(text)} for ${flag}: it must be an IPv4 range with a prefix of at most ${longest} bits, such as 10.0.0.0/16`,
    );
  return range;
}

/** What is wrong with the ranges, if an interface of this machine stands inside of one. */
function rangeClash(config: ClusterConfig): string | undefined {
  for (const [name, addresses] of Object.entries(networkInterfaces()))
    for (const { address, family } of addresses ?? []) {
      if (family !== 'IPv4') continue;
      for (const flag of ['clusterCidr', 'serviceCidr'] as const)
        if (cidrContains(parseCidr(config[flag]), parseIp(address)!))
          return `the range ${config[flag]} is in use: interface ${name} has ${address}; choose another with --${flag === 'clusterCidr' ? 'cluster' : 'service'}-cidr`;
    }
  return undefined;
}
