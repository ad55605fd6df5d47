import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DisposalStack, silentLogger } from '@wherry/base';
import { openImageStore } from '@wherry/images';
import { afterAll, beforeAll, describe } from 'vitest';
import type { RegistryOptions } from '../src/index.ts';
import { TestClient, TestRegistry } from './test-client.ts';

/** Where registries keep their content: alone, and in the daemon. */
export type Storage = (typeof storages)[number];

export const storages = ["the registry's own folder", "the images' store"] as const;

export interface StoredRegistry extends AsyncDisposable {
  readonly served: TestRegistry;
}

/** A registry whose content is in this storage, in a folder that goes with it. */
export async function startOn(storage: Storage, options: Partial<RegistryOptions> = {}): Promise<StoredRegistry> {
  const resources = new DisposalStack(silentLogger);
  const folder = await mkdtemp(join(tmpdir(), 'wherry-registry-'));
  resources.defer(() => rm(folder, { recursive: true, force: true }), 'folder');
  const images =
    storage === "the images' store" &&
    resources.use(await openImageStore({ directory: join(folder, 'images'), log: silentLogger }), 'images');
  const blobs = images ? images.keptContent('registry') : undefined;
  const directory = join(folder, 'registry');
  const served = resources.use(await TestRegistry.start({ ...options, directory, blobs }), 'registry');
  return { served, [Symbol.asyncDispose]: () => resources[Symbol.asyncDispose]() };
}

/** Tests that a registry must pass wherever its content is, with the client of one. */
export function onEachStorage(tests: (client: TestClient) => void): void {
  describe.each(storages)('content in %s', (storage) => {
    const client = new TestClient(0);
    let registry: StoredRegistry | undefined;
    beforeAll(async () => {
      registry = await startOn(storage);
      client.port = registry.served.client.port;
    });
    afterAll(async () => {
      await registry?.[Symbol.asyncDispose]();
    });
    tests(client);
  });
}
