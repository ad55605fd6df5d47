import { join } from 'node:path';
import type { ClusterConfig } from './cluster-config.ts';

/** Where a machine keeps its things below its root directory. */
export function machinePaths({ rootDirectory, runDirectory }: ClusterConfig) {
  return {
    store: join(rootDirectory, 'store'),
    pki: join(rootDirectory, 'pki'),
    images: join(rootDirectory, 'images'),
    engine: join(rootDirectory, 'engine'),
    network: join(rootDirectory, 'network'),
    kubelet: join(rootDirectory, 'kubelet'),
    podLogs: join(rootDirectory, 'log', 'pods'),
    kubeconfig: join(rootDirectory, 'admin.kubeconfig'),
    docker: join(rootDirectory, 'docker'),
    volumes: join(rootDirectory, 'volumes'),
    dockerNetworks: join(rootDirectory, 'docker-networks'),
    builder: join(rootDirectory, 'builder'),
    registry: join(rootDirectory, 'registry'),
    engineRun: join(runDirectory, 'engine'),
    dockerRun: join(runDirectory, 'docker'),
  };
}

/** The socket of the Docker Engine API. */
export function dockerSocketPath({ runDirectory }: ClusterConfig): string {
  return join(runDirectory, 'docker.sock');
}

/** The administrator's kubeconfig file. */
export function adminKubeconfigPath(config: ClusterConfig): string {
  return machinePaths(config).kubeconfig;
}
