import { chmod, mkdir } from 'node:fs/promises';
import { KeyedMutex, type Logger, Semaphore, silentLogger, systemClock, systemRandom } from '@wherry/base';
import { hostPlatform } from '@wherry/oci';
import { Build } from './build/build.ts';
import { UsedImages } from './build/used-images.ts';
import type { BuildCacheRecord, Builder, BuildRequest } from './builder.ts';
import { StepCache } from './cache/step-cache.ts';
import type { BuilderOptions } from './options.ts';
import { BuilderPaths } from './paths.ts';
import { CacheMounts } from './run/cache-mounts.ts';
import type { Services } from './services.ts';
import { BuildFiles } from './threads/build-files.ts';

/** Makes a builder, and takes away what builds of a process that died have left. One process at a time has its folders. */
export async function createBuilder(options: BuilderOptions): Promise<Builder> {
  const log = options.log ?? silentLogger;
  const clock = options.clock ?? systemClock;
  const paths = new BuilderPaths(options.directory, options.runDirectory);
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  await mkdir(options.runDirectory, { recursive: true, mode: 0o700 });
  await chmod(options.directory, 0o700);
  const cacheMounts = new CacheMounts(paths.cacheMounts, clock, log);
  const services: Services = {
    images: options.images,
    runner: options.runner,
    files: new BuildFiles(),
    checkResources: options.checkResources ?? (() => undefined),
    cache: await StepCache.open(options.directory, clock, log),
    cacheMounts,
    paths,
    platform: options.platform ?? hostPlatform(),
    clock,
    random: options.random ?? systemRandom,
    log,
    runs: new Semaphore(options.parallelSteps ?? 4),
    steps: new KeyedMutex(),
    used: new UsedImages(),
  };
  await options.runner.cleanUp();
  for (const id of await paths.builds()) await endBuild(services, id, log);
  await cacheMounts.cleanUp();
  return new LocalBuilder(services);
}

async function endBuild({ images, paths }: Services, id: string, log: Logger): Promise<void> {
  try {
    for (const owner of await paths.holds(id)) await images.release(owner);
    await paths.remove(id);
  } catch (error) {
    log.error('a build was not cleaned up', { build: id, error });
  }
}

class LocalBuilder implements Builder {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async build(request: BuildRequest): Promise<{ readonly imageId: string }> {
    const { random, cache, images, used, log } = this.#services;
    const id = random.hex(16);
    const build = new Build(this.#services, request, id);
    try {
      const { imageId } = await build.run();
      request.onProgress({ type: 'built', imageId });
      for (const tag of request.tags) await images.tag(imageId, tag);
      return { imageId };
    } finally {
      used.end(id);
      // What came from the cache alone has made nothing.
      if (build.hasFolders) await endBuild(this.#services, id, log);
      await cache.save().catch((error: unknown) => log.error('the build cache was not saved', { error }));
    }
  }

  async unpackContext(archive: AsyncIterable<Uint8Array>, folder: string, signal: AbortSignal): Promise<void> {
    await this.#services.files.unpackContext(archive, folder, signal);
  }

  userOfImage(image: string): string | undefined {
    return this.#services.used.userOf(image);
  }

  async usage(): Promise<readonly BuildCacheRecord[]> {
    return await this.#services.cacheMounts.records();
  }

  async prune({
    all,
    keepBytes,
    olderThan = Number.POSITIVE_INFINITY,
    selects,
  }: Parameters<Builder['prune']>[0]): ReturnType<Builder['prune']> {
    const { cacheMounts, cache } = this.#services;
    const records = [...(await cacheMounts.records())].sort((one, other) => one.lastUsedAt - other.lastUsedAt);
    let left = records.reduce((sum, { bytes }) => sum + bytes, 0);
    const deleted: string[] = [];
    let freed = 0;
    for (const record of records) {
      if (record.inUse || record.lastUsedAt > olderThan || selects?.(record) === false) continue;
      if (keepBytes !== undefined && left <= keepBytes) break;
      if (!(await cacheMounts.remove(record.id))) continue;
      deleted.push(record.id);
      freed += record.bytes;
      left -= record.bytes;
    }
    const isBare = olderThan === Number.POSITIVE_INFINITY && keepBytes === undefined && selects === undefined;
    if (all && isBare) {
      cache.clear();
      await cache.save();
    }
    return { deleted, bytes: freed };
  }
}
