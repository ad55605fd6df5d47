import { rm } from 'node:fs/promises';
import { openImageStore } from '@wherry/images';
import { removeProxyTable } from '@wherry/kube-proxy';
import { mountsBelow, unmountBind } from '@wherry/linux';
import type { ClusterConfig } from './cluster-config.ts';
import type { Surroundings } from './control-plane.ts';
import { openDockerNetworks } from './docker.ts';
import { noPods } from './engine-only.ts';
import { nodeCidr, openNetwork, proxyTable, startEngine } from './node.ts';
import { machinePaths } from './paths.ts';

/**
 * Removes everything that a machine's daemon made outside of its root directory: processes, mounts, namespaces,
 * cgroups, interfaces, routes, rules and sockets. What is stored stays. The daemon must not run.
 */
export async function destroyMachine(config: ClusterConfig, surroundings: Surroundings): Promise<void> {
  const paths = machinePaths(config);
  const network = config.engineOnly ? undefined : await openNetwork(config, nodeCidr(config), surroundings);
  try {
    await using images = await openImageStore({
      directory: paths.images,
      log: surroundings.log,
      clock: surroundings.clock,
    });
    const engine = await startEngine(config, { network: network ?? noPods, images }, surroundings);
    await engine.destroyAll({ keepRestartable: true });
    await engine[Symbol.asyncDispose]();
  } finally {
    await using docker = await openDockerNetworks(config, surroundings);
    await docker.destroy();
    await network?.destroy();
    network?.[Symbol.dispose]();
  }
  if (!config.engineOnly) removeProxyTable(proxyTable(config));
  for (const folder of [paths.kubelet, config.runDirectory, config.rootDirectory])
    for (const { mountPoint } of mountsBelow(folder)) unmountBind(mountPoint);
  await rm(config.runDirectory, { recursive: true, force: true });
}
