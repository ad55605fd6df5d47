import { mkdir } from 'node:fs/promises';
import type { ApiServer } from '@wherry/apiserver';
import type { InformerFactory } from '@wherry/client';
import { createClusterSource, createDnsServer, type DnsServer } from '@wherry/dns';
import { createEngine, type Engine } from '@wherry/engine';
import type { ImageStore } from '@wherry/images';
import { createKubeProxy, type KubeProxy } from '@wherry/kube-proxy';
import { createKubelet, type Kubelet } from '@wherry/kubelet';
import { type BridgeNetwork, createBridgeNetwork, type PodNetwork, type PortHolder } from '@wherry/network';
import { sharePropagation } from '@wherry/volumes';
import { kubernetesVersion } from '../version.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { nodeUser, type Surroundings } from './control-plane.ts';
import { machinePaths } from './paths.ts';
import { runtimesOf } from './runtimes.ts';

/** The pods' bridge of this machine, made or taken over. */
export function openNetwork(
  config: ClusterConfig,
  podCidr: string,
  { log }: Surroundings,
  portHolder?: PortHolder,
): Promise<BridgeNetwork> {
  return createBridgeNetwork({
    portHolder,
    bridge: config.bridge,
    podCidr,
    clusterCidr: config.clusterCidr,
    serviceCidr: config.serviceCidr,
    stateDirectory: machinePaths(config).network,
    log: log.with({ part: 'network' }),
  });
}

/** Opens the engine. The pods' folder must pass its mounts on before: the runtime may live in a mount namespace of its own. */
export async function startEngine(
  config: ClusterConfig,
  { network, images }: { network: PodNetwork; images: ImageStore },
  { clock, random, log }: Surroundings,
): Promise<Engine> {
  const paths = machinePaths(config);
  await mkdir(paths.kubelet, { recursive: true, mode: 0o750 });
  sharePropagation(paths.kubelet);
  return createEngine({
    rootDirectory: paths.engine,
    runDirectory: paths.engineRun,
    cgroupParent: `/${config.cgroupParent}`,
    network,
    images,
    runtimes: runtimesOf(config),
    clock,
    random,
    log: log.with({ part: 'engine' }),
  });
}

export interface KubeletParts {
  readonly server: ApiServer;
  readonly informers: InformerFactory;
  readonly engine: Engine;
  readonly images: ImageStore;
  readonly nodeIp: string;
  readonly dnsAddress: string;
}

export function startKubelet(
  config: ClusterConfig,
  { server, informers, engine, images, nodeIp, dnsAddress }: KubeletParts,
  { clock, log }: Surroundings,
): Kubelet {
  const paths = machinePaths(config);
  return createKubelet({
    nodeName: config.nodeName,
    nodeIps: [nodeIp],
    client: server.client(nodeUser(config.nodeName)),
    informers,
    runtime: engine,
    images,
    rootDirectory: paths.kubelet,
    logDirectory: paths.podLogs,
    clusterDns: [dnsAddress],
    clusterDomain: config.clusterDomain,
    kubeletVersion: kubernetesVersion,
    clock,
    log,
  });
}

export function proxyTable(config: ClusterConfig): string {
  return `wherry-proxy-${config.bridge}`;
}

export function startProxy(config: ClusterConfig, informers: InformerFactory, { clock, log }: Surroundings): KubeProxy {
  return createKubeProxy({
    informers,
    nodeName: config.nodeName,
    clusterCidr: config.clusterCidr,
    serviceCidr: config.serviceCidr,
    table: proxyTable(config),
    log: log.with({ part: 'kube-proxy' }),
    clock,
  });
}

/** Cluster DNS on the pods' bridge; names outside of the cluster go where the host's resolver asks. */
export async function startDns(
  config: ClusterConfig,
  gateway: string,
  informers: InformerFactory,
  { clock, log }: Surroundings,
): Promise<DnsServer> {
  const source = createClusterSource({
    informers,
    zone: config.clusterDomain,
    ranges: [config.clusterCidr, config.serviceCidr],
  });
  const server = await createDnsServer({
    sources: [source],
    addresses: [gateway],
    log: log.with({ part: 'dns' }),
    clock,
  });
  await source.synced;
  return server;
}

/** The node's share of the cluster's range: its first /24. */
export function nodeCidr({ clusterCidr }: ClusterConfig): string {
  return `${clusterCidr.split('/')[0]}/24`;
}
