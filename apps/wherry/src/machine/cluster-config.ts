import type { RegisteredRuntime } from '@wherry/engine';
import type { RegistryAddress } from './registry-address.ts';

/**
 * One cluster on one machine, as `wherry up` fixed it at the first start: a root directory, a cgroup parent
 * and ranges of addresses. Kept in `<home>/clusters/<name>.json`; everything else follows from it.
 */
export interface ClusterConfig {
  readonly formatVersion: 1;
  readonly name: string;
  /** Everything that must survive: store, certificates, images, pods' volumes and logs. */
  readonly rootDirectory: string;
  /** Pinned namespaces, mounts and sockets: meaningless after a reboot. */
  readonly runDirectory: string;
  /** Below the root of each cgroup hierarchy. */
  readonly cgroupParent: string;
  readonly nodeName: string;
  /** The node's address; default: that of the default route, or the bridge's where there is none. */
  readonly nodeIp?: string | undefined;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly bridge: string;
  readonly apiPort: number;
  /** Addresses on which the API server listens, beside the bridge. */
  readonly listenAddresses: readonly string[];
  readonly clusterDomain: string;
  /** Containers alone, by the docker API: no API server and nothing that follows it. */
  readonly engineOnly?: boolean | undefined;
  /** Docker's default bridge; clusters of before docker's API have none written down. */
  readonly dockerBridge?: string | undefined;
  /** How other registries are reached; may be another at each start. */
  readonly registryMirrors?: readonly string[] | undefined;
  readonly insecureRegistries?: readonly string[] | undefined;
  /** OCI runtimes besides the built-in one, by name. May be others at each start. */
  readonly runtimes?: readonly RegisteredRuntime[] | undefined;
  /** Users of docker's containers: dockerd's `--userns-remap`. May be others at each start, for new containers. */
  readonly usersRemap?: string | undefined;
  /** Where the machine's own registry answers; without it there is none. May be another at each start, too. */
  readonly registry?: RegistryAddress | undefined;
}
