import { existsSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DisposalStack, WherryError } from '@wherry/base';
import { applyChanges, createBuilder, createEngineRunner, type StepNetwork, type StepResources } from '@wherry/builder';
import { createDnsServer } from '@wherry/dns';
import {
  checkLimits,
  createContainerFiles,
  createDockerContainers,
  createEventLog,
  type DockerContainers,
  resolvConf,
  systemNanoClock,
} from '@wherry/docker';
import type { Engine } from '@wherry/engine';
import { createEngineApi } from '@wherry/engine-api';
import type { ImageStore } from '@wherry/images';
import { type ContainerNetworks, openContainerNetworks, type PortHolder } from '@wherry/network';
import { rootOf } from '@wherry/runtime';
import { openNamedVolumes } from '@wherry/volumes';
import type { ClusterConfig } from './cluster-config.ts';
import { dockerBridgeOf, slotOf } from './config.ts';
import type { Surroundings } from './control-plane.ts';
import { createSystemFacts } from './docker-facts.ts';
import { dockerSocketPath, machinePaths } from './paths.ts';
import { runtimesOf } from './runtimes.ts';
import { dockerTable } from './slots.ts';
import { hostUserMappings } from './user-mappings.ts';

/** Docker's networks of this machine, made or taken over. */
export function openDockerNetworks(
  config: ClusterConfig,
  { log, clock, random }: Surroundings,
  portHolder?: PortHolder,
): Promise<ContainerNetworks> {
  const slot = slotOf(config.bridge);
  return openContainerNetworks({
    stateDirectory: machinePaths(config).dockerNetworks,
    table: dockerTable(config.bridge),
    defaultBridges: [dockerBridgeOf(config), `wdocker${slot}`],
    bridgePrefix: slot === 0 ? 'br-' : `br${slot}-`,
    walls: config.engineOnly ? [] : [config.bridge],
    // The embedded DNS of user networks is the cluster's server with other sources.
    startNameServer: createDnsServer,
    portHolder,
    log: log.with({ part: 'docker networks' }),
    clock,
    random,
  });
}

/** What docker's side of a machine is made of. */
export interface DockerParts {
  readonly engine: Engine;
  readonly images: ImageStore;
  /** The pods and services that publish ports of the machine. */
  readonly podPorts?: PortHolder | undefined;
}

/** Docker's side of a machine. Disposing it leaves the containers running. */
export interface DockerSide extends AsyncDisposable {
  /** The containers that publish ports of the machine. */
  readonly portHolder: PortHolder;
  /** Ends the containers as dockerd's end does. */
  stopContainers(): Promise<void>;
}

/** Serves the Docker Engine API on the machine's socket. */
export async function startDocker(
  config: ClusterConfig,
  { engine, images, podPorts }: DockerParts,
  surroundings: Surroundings,
): Promise<DockerSide> {
  const { clock, random } = surroundings;
  const log = surroundings.log.with({ part: 'docker' });
  const stack = new DisposalStack(log);
  const paths = machinePaths(config);
  const users = config.usersRemap === undefined ? undefined : hostUserMappings(config.usersRemap);
  if (users !== undefined) await letThrough(config.runDirectory, rootOf(users)[1]);
  try {
    const temporaryDirectory = join(paths.docker, 'tmp');
    await mkdir(temporaryDirectory, { recursive: true, mode: 0o700 });
    const [networks, volumes] = await Promise.all([
      openDockerNetworks(config, surroundings, podPorts),
      openNamedVolumes({ root: config.rootDirectory, owner: users && rootOf(users), clock, random, log }),
    ]);
    stack.use(networks, 'docker networks');
    stack.use(volumes, 'volumes');
    const now = systemNanoClock();
    const events = createEventLog({ clock, now });
    const containers = stack.use(
      await createDockerContainers({
        rootDirectory: join(paths.docker, 'containers'),
        engine,
        networks,
        volumes,
        images,
        events,
        files: createContainerFiles,
        applyChanges,
        runtimes: runtimesOf(config).map(({ name }) => name),
        users,
        host: { cgroupFeatures: engine.cgroupFeatures() },
        clock,
        now,
        random,
        log,
      }),
      'containers',
    );
    const builder = await createBuilder({
      directory: paths.builder,
      runDirectory: join(paths.dockerRun, 'builder'),
      images,
      runner: createEngineRunner({
        engine,
        network: stepNetwork(networks, containers),
        runDirectory: join(paths.dockerRun, 'steps'),
        log,
      }),
      checkResources: (resources) => checkLimits(limitsOf(resources)),
      clock,
      random,
      log,
    });
    const facts = createSystemFacts(config, engine);
    const api = stack.use(
      await createEngineApi({
        containers,
        events,
        networks,
        volumes,
        images,
        builder,
        facts,
        onClient: () => engine.anticipate(),
        temporaryDirectory,
        log,
        clock,
        random,
      }),
      'docker API',
    );
    await api.listen(dockerSocketPath(config));
    return {
      portHolder: (port) => networks.portHolder(port),
      stopContainers: () => containers.stopAll(),
      [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
    };
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

/** Users of containers go through the run folder to their roots, and nobody else does: others could run what is set-uid there. */
async function letThrough(runDirectory: string, group: number): Promise<void> {
  await chown(runDirectory, 0, group);
  await chmod(runDirectory, 0o710);
  await chmod(dirname(runDirectory), 0o711);
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** A build's resources in docker's names. */
function limitsOf(resources: StepResources): Parameters<typeof checkLimits>[0] {
  const { memoryBytes, memorySwapBytes, cpuQuota, cpuPeriod, cpuShares, cpusetCpus, cpusetMems } = resources;
  return {
    Memory: memoryBytes,
    MemorySwap: memorySwapBytes,
    CpuQuota: cpuQuota,
    CpuPeriod: cpuPeriod,
    CpuShares: cpuShares,
    CpusetCpus: cpusetCpus,
    CpusetMems: cpusetMems,
  };
}

/** Steps of a build join docker's networks as containers do, without names. */
function stepNetwork(networks: ContainerNetworks, containers: Pick<DockerContainers, 'inspect'>): StepNetwork {
  const nameOf = (network: string): string => (network === 'default' ? 'bridge' : network);
  return {
    resolvConf: (network) =>
      resolvConf(
        { Dns: null, DnsSearch: null, DnsOptions: null },
        { resolver: 'host', hostResolvConf: readIfThere('/etc/resolv.conf'), hostNetwork: network === 'host' },
      ),
    async connect(network, { id, namespace }) {
      const endpoint = await networks.connect(nameOf(network), {
        containerId: id,
        containerName: id.slice(0, 12),
        netns: namespace,
      });
      return { address: endpoint.ipv4?.address };
    },
    disconnect: (network, id) => networks.disconnect(nameOf(network), id),
    async container(reference) {
      const { Id, State } = await containers.inspect(reference, { size: false });
      if ((State as { Running: boolean }).Running) return Id as string;
      throw new WherryError('conflict', `cannot join network namespace of a non running container: ${Id}`);
    },
    machineHosts: () => readIfThere('/etc/hosts'),
    gateway: () => networks.find('bridge')?.ipam.pools[0]?.gateway,
  };
}
