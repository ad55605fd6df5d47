import { type DisposalStack, WherryError } from '@wherry/base';
import type { PodNetwork } from '@wherry/network';
import { wherryVersion } from '../version.ts';
import type { ClusterConfig } from './cluster-config.ts';
import type { Surroundings } from './control-plane.ts';
import { startDocker } from './docker.ts';
import { openImages } from './images.ts';
import type { Machine, Phase } from './machine.ts';
import { startEngine } from './node.ts';
import { dockerSocketPath } from './paths.ts';
import { startRegistry } from './registry.ts';

/** Brings up containers by the docker API alone: no API server and nothing that follows it. */
export async function startEngineOnly(
  config: ClusterConfig,
  options: Surroundings & { readonly onPhase: (phase: Phase) => void },
  stack: DisposalStack,
): Promise<Machine> {
  const { clock, onPhase } = options;
  const startedAt = clock.now();
  onPhase('engine');
  const images = stack.use(await openImages(config, options), 'images');
  const engine = stack.use(await startEngine(config, { network: noPods, images }, options), 'engine');
  const { ociRuntime } = await engine.version();
  const docker = stack.use(await startDocker(config, { engine, images }, options), 'docker');
  const registry = await startRegistry(config, images, options);
  if (registry) stack.use(registry, 'registry');
  return {
    kubeconfig: undefined,
    status: () => ({
      name: config.name,
      version: wherryVersion,
      pid: process.pid,
      startedAt,
      ready: true,
      components: [
        { name: 'engine', ready: true, message: ociRuntime },
        { name: 'docker API', ready: true, message: `unix://${dockerSocketPath(config)}` },
        ...(registry ? [registry.status()] : []),
      ],
      memoryBytes: process.memoryUsage.rss(),
    }),
    async loadImages(archive) {
      const loaded = await images.load(archive);
      return loaded.flatMap(({ id, names }) => (names.length > 0 ? names : [id]));
    },
    stopContainers: () => docker.stopContainers(),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** Without a cluster there is no pod network. */
export const noPods: PodNetwork = {
  add: () => Promise.reject(new WherryError('unsupported', 'this engine runs no pods')),
  del: async () => undefined,
  reconcile: async () => undefined,
};
