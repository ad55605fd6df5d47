import { rfc3339, systemClock } from '@wherry/base';
import type { JsonObject } from '@wherry/docker';
import { labelsOf, listImages } from '../images/list-images.ts';
import { sharedSizes } from '../images/shared-sizes.ts';
import type { EngineApiOptions } from '../options.ts';
import { volumeResource } from '../volumes/routes.ts';

type Members = Readonly<Record<string, unknown>>;

export const diskUsageTypes = ['container', 'image', 'volume', 'build-cache'] as const;
export type DiskUsageType = (typeof diskUsageTypes)[number];

/** `GET /system/df`. `speaks`: whether the client's version is 1.N or newer. */
export async function diskUsageOf(
  options: EngineApiOptions,
  types: ReadonlySet<DiskUsageType>,
  speaks: (minor: number) => boolean,
): Promise<Members> {
  const all = { all: true, size: types.has('container'), filters: new Map() };
  const containers = types.has('container') || types.has('image') ? await options.containers.list(all) : [];
  const [images, Volumes, BuildCache] = await Promise.all([
    types.has('image') ? imageUsage(options, containers, speaks) : undefined,
    types.has('volume') ? volumeUsage(options) : undefined,
    types.has('build-cache') ? cacheUsage(options) : undefined,
  ]);
  return {
    LayersSize: images?.layersSize ?? 0,
    Images: images?.images ?? null,
    Containers: types.has('container') ? containers : null,
    Volumes: Volumes ?? null,
    BuildCache: BuildCache ?? null,
  };
}

async function imageUsage(
  { images, clock = systemClock }: EngineApiOptions,
  containers: readonly JsonObject[],
  speaks: (minor: number) => boolean,
): Promise<{ images: readonly Members[]; layersSize: number }> {
  const [listed, sizes, sharedBy] = await Promise.all([
    listImages(images, { all: false, filters: new Map(), now: clock.now() }),
    images.layerSizes(),
    sharedSizes(images),
  ]);
  const chains = new Set(listed.flatMap(({ image }) => image.layers.map(({ chainId }) => chainId)));
  const layersSize = [...chains].reduce((sum, chain) => sum + (sizes.get(chain) ?? 0), 0);
  return {
    layersSize,
    images: listed.map(({ image, tags, digests }) => ({
      Containers: containers.filter(({ ImageID }) => ImageID === image.id).length,
      Created: Math.floor((image.createdAt ?? 0) / 1000),
      Id: image.id,
      Labels: labelsOf(image),
      ParentId: image.parent ?? '',
      RepoDigests: digests.length === 0 ? null : digests,
      RepoTags: tags.length === 0 ? null : tags,
      SharedSize: sharedBy(image),
      Size: image.sizeBytes,
      ...(speaks(44) ? {} : { VirtualSize: image.sizeBytes }),
    })),
  };
}

async function volumeUsage({ volumes }: EngineApiOptions): Promise<readonly Members[]> {
  // What is mounted from elsewhere takes no space here.
  const own = volumes.list().filter((volume) => Object.keys(volume.options).length === 0);
  return await Promise.all(
    own.map(async (volume) => ({
      ...volumeResource(volume),
      UsageData: { RefCount: volumes.users(volume.name).length, Size: (await volumes.size(volume.name)) ?? -1 },
    })),
  );
}

async function cacheUsage({ builder }: EngineApiOptions): Promise<readonly Members[]> {
  const records = (await builder?.usage()) ?? [];
  return records.map((record) => ({
    ID: record.id,
    Type: record.type,
    Description: record.description,
    InUse: record.inUse,
    Shared: record.shared,
    Size: record.bytes,
    CreatedAt: rfc3339(record.createdAt),
    LastUsedAt: rfc3339(record.lastUsedAt),
    UsageCount: record.usageCount,
  }));
}
