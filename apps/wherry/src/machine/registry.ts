import type { ImageStore } from '@wherry/images';
import type { ClusterConfig } from './cluster-config.ts';
import type { Surroundings } from './control-plane.ts';
import type { ComponentStatus } from './machine.ts';
import { machinePaths } from './paths.ts';

/** The registry in this process: its content is that of the images, each of it once on disk. */
export interface MachineRegistry extends AsyncDisposable {
  status(): ComponentStatus;
}

/** Serves a machine's registry, where it is to have one. Throws `unavailable` for a port that is in use. */
export async function startRegistry(
  config: ClusterConfig,
  images: ImageStore,
  { log, clock, random }: Surroundings,
): Promise<MachineRegistry | undefined> {
  if (!config.registry) return undefined;
  const { createRegistry } = await import('@wherry/registry');
  const registry = await createRegistry({
    directory: machinePaths(config).registry,
    blobs: images.keptContent('registry'),
    log: log.with({ part: 'registry' }),
    clock,
    random,
  });
  try {
    const { url } = await registry.listen(config.registry);
    return {
      status: () => ({ name: 'registry', ready: true, message: url }),
      [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
    };
  } catch (error) {
    await registry[Symbol.asyncDispose]();
    throw error;
  }
}
