import { type ImageStore, openImageStore } from '@wherry/images';
import type { ClusterConfig } from './cluster-config.ts';
import type { Surroundings } from './control-plane.ts';
import { machinePaths } from './paths.ts';

/** Opens the one store of images that containers, pods, the builder and the registry share. */
export function openImages(
  config: ClusterConfig,
  { log, clock }: Pick<Surroundings, 'log' | 'clock'>,
): Promise<ImageStore> {
  return openImageStore({
    directory: machinePaths(config).images,
    log: log.with({ part: 'images' }),
    clock,
    registries: {
      mirrors: { 'docker.io': config.registryMirrors ?? [] },
      insecure: config.insecureRegistries ?? [],
    },
  });
}
