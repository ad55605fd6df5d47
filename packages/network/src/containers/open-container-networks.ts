import { type Clock, type Logger, messageOf, type Random, systemClock, systemRandom } from '@wherry/base';
import type { ContainerNetworks } from '../container-networks.ts';
import type { PortHolder } from '../machine-port.ts';
import { type DefaultPool, dockerPools } from './default-pools.ts';
import { HostSide } from './host-side.ts';
import { LiveNetwork } from './live-network.ts';
import { MachineNetworks } from './machine-networks.ts';
import type { StartNameServer } from './name-service.ts';
import { predefinedNetworks } from './predefined-networks.ts';
import { PublishedPorts } from './published-ports.ts';
import { NetworkRecords } from './records.ts';

/** What `openContainerNetworks` needs to know. */
export interface ContainerNetworksOptions {
  /** A folder of these networks' own. */
  readonly stateDirectory: string;
  /** Name of the nftables table, of this machine's own: begins with `wherry-`. */
  readonly table: string;
  /** Names for the default bridge; the first that is free is taken. */
  readonly defaultBridges: readonly string[];
  /** Before the network's id in the names of other bridges; default `br-`. */
  readonly bridgePrefix?: string | undefined;
  /** Where subnets are chosen; default docker's. */
  readonly pools?: readonly DefaultPool[] | undefined;
  /** Interfaces beyond which containers reach only what is published: the pods' bridge. */
  readonly walls?: readonly string[] | undefined;
  /** Who else publishes a port of the machine: pods. */
  readonly portHolder?: PortHolder | undefined;
  /** Path of the machine's network namespace; default this process's. */
  readonly netns?: string | undefined;
  readonly startNameServer: StartNameServer;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

/**
 * Opens docker's networks. Little is done before somebody needs it: a network that no container is in has its
 * record and its fence, nothing else. What was raised before is put back. Disposing leaves everything as it is:
 * containers outlive the daemon. Throws `corrupt`, `unsupported` (records), `conflict`, `unavailable`.
 */
export async function openContainerNetworks(options: ContainerNetworksOptions): Promise<ContainerNetworks> {
  const {
    log,
    clock = systemClock,
    random = systemRandom,
    walls = [],
    pools = dockerPools,
    bridgePrefix = 'br-',
  } = options;
  const records = await NetworkRecords.open(options.stateDirectory, log);
  const [networks, endpoints, ports, names] = await Promise.all([
    records.load('networks'),
    records.load('endpoints'),
    records.load('ports'),
    records.load('names'),
  ]);
  const live = new Map<string, LiveNetwork>();
  const host = new HostSide(
    { table: options.table, walls, netns: options.netns, log },
    { networks: () => [...live.values()], ports: () => published.rules() },
    records,
  );
  const published: PublishedPorts = new PublishedPorts({
    host,
    records,
    netns: options.netns,
    log,
    portHolder: options.portHolder,
  });
  try {
    for (const record of networks) live.set(record.id, new LiveNetwork(record));
    const missing = predefinedNetworks(host, { live, clock, random, pools, bridges: options.defaultBridges });
    await Promise.all(missing.map((record) => records.write(record.id, record)));
    for (const record of missing) live.set(record.id, new LiveNetwork(record));
    for (const endpoint of endpoints) {
      const network = live.get(endpoint.record.networkId);
      try {
        if (network === undefined) throw new Error('its network is gone');
        network.adopt(endpoint);
      } catch (error) {
        log.warn('removing an endpoint that fits nowhere', { id: endpoint.record.id, error: messageOf(error) });
        await records.remove('endpoints', endpoint.record.id);
      }
    }
    const all = new MachineNetworks(
      { ...options, log, clock, random, pools, bridgePrefix },
      { host, records, published, live },
    );
    await all.resume(ports, names);
    return all;
  } catch (error) {
    await published[Symbol.asyncDispose]();
    host[Symbol.dispose]();
    throw error;
  }
}
