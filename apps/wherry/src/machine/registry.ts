import { isIP } from 'node:net';
import { WherryError } from '@wherry/base';
import type { ImageStore } from '@wherry/images';
import type { ClusterConfig } from './config.ts';
import type { Surroundings } from './control-plane.ts';
import type { ComponentStatus } from './machine.ts';
import { machinePaths } from './paths.ts';

/** Where the registry of a machine answers. */
export interface RegistryAddress {
  readonly address: string;
  readonly port: number;
}

export const defaultRegistryAddress = '127.0.0.1:5000';

/** Reads `ADDR:PORT`, `[ADDR]:PORT`, `ADDR` or `PORT`. Throws `invalid`. */
export function parseRegistryAddress(text: string): RegistryAddress {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? [];
  const isPort = port === undefined && /^\d+$/.test(plain ?? '');
  const address = bracketed ?? (isPort ? '127.0.0.1' : plain);
  const number = Number(isPort ? plain : (port ?? 5000));
  if (address === undefined || isIP(address) === 0 || number < 1 || number > 65_535) {
    throw new WherryError('invalid', 'it must be an address and a port, such as 127.0.0.1:5000');
  }
  return { address, port: number };
}

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
