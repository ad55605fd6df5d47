import { type Clock, codeOf, messageOf, systemClock, WherryError } from '@wherry/base';
import type { Filters } from '@wherry/docker';
import type { ImageManifest, RemovedPart } from '@wherry/images';
import type { Exchange } from '../http/exchange.ts';
import { booleanFilter, checkFilters, matchesPruneLabels, untilFilter } from '../http/filters.ts';
import type { Route } from '../http/router.ts';
import type { EngineApiOptions, EngineImages } from '../options.ts';
import { historyOf } from './history.ts';
import { imageInspection } from './inspect-image.ts';
import { labelsOf, listImages } from './list-images.ts';
import { containersByImage, manifestSummary } from './manifests.ts';
import { joinName } from './names.ts';
import { parsePlatform, platformAsked } from './platforms.ts';
import { sharedSizes } from './shared-sizes.ts';
import { transferRoutes } from './transfer-routes.ts';

/** `/images`. */
export function imageRoutes(options: EngineApiOptions): readonly Route[] {
  const { images, clock = systemClock } = options;
  return [
    ...transferRoutes(options),
    { method: 'POST', path: '/images/prune', handle: (exchange) => prune(options, clock, exchange) },
    { method: 'GET', path: '/images/json', handle: (exchange) => sendImages(options, clock, exchange) },
    {
      method: 'GET',
      path: '/images/{name:.*}/history',
      async handle(exchange) {
        const image = await images.details(exchange.parameter('name'), platformAsked(exchange, 48));
        exchange.send(200, historyOf(image, await images.summaries()));
      },
    },
    {
      method: 'GET',
      path: '/images/{name:.*}/json',
      async handle(exchange) {
        const platform = platformAsked(exchange, 49);
        const withManifests = exchange.speaks(48) && exchange.query.flag('manifests');
        if (withManifests && platform)
          throw new WherryError('invalid', 'conflicting options: manifests and platform options cannot both be set');
        const image = await images.details(exchange.parameter('name'), platform);
        const inspection = imageInspection(image, (minor) => exchange.speaks(minor));
        exchange.send(200, withManifests ? { ...inspection, ...(await manifestsOf(options, exchange)) } : inspection);
      },
    },
    {
      method: 'POST',
      path: '/images/{name:.*}/tag',
      async handle(exchange) {
        const { query } = exchange;
        await images.tag(exchange.parameter('name'), joinName(query.text('repo'), query.text('tag')));
        exchange.sendNothing(201);
      },
    },
    {
      method: 'DELETE',
      path: '/images/{name:.*}',
      async handle(exchange) {
        const { query } = exchange;
        if (exchange.parameter('name').trim() === '') throw new WherryError('invalid', 'image name cannot be blank');
        const removal = {
          force: query.flag('force'),
          pruneParents: !query.flag('noprune'),
          inUse: (id: string) => userOf(options, id),
        };
        const removed: RemovedPart[] = [];
        for (const reference of await toRemove(images, exchange))
          removed.push(...(await images.remove(reference, removal)));
        exchange.send(200, removed.map(removedPart));
      },
    },
  ];
}

function removedPart(part: { untagged: string } | { deleted: string }): Readonly<Record<string, string>> {
  return 'untagged' in part ? { Untagged: part.untagged } : { Deleted: part.deleted };
}

/** The name, or with `platforms` (API 1.50) the images that it has for them: another one than the name's own by its ID. */
async function toRemove(images: EngineImages, exchange: Exchange): Promise<readonly string[]> {
  const name = exchange.parameter('name');
  const platforms = exchange.speaks(50)
    ? exchange.query.all('platforms').flatMap((text) => parsePlatform(text) ?? [])
    : [];
  if (platforms.length === 0) return [name];
  const own = await images.details(name);
  const chosen = new Set<string>();
  for (const platform of platforms) {
    const { id } = await images.details(name, platform);
    chosen.add(id === own.id ? name : id);
  }
  return [...chosen];
}

async function manifestsOf(options: EngineApiOptions, exchange: Exchange): Promise<Readonly<Record<string, unknown>>> {
  const { target, manifests } = await options.images.manifests(exchange.parameter('name'));
  const containers = await containersByImage(options);
  return { Descriptor: target, Manifests: manifests.map((manifest) => manifestSummary(manifest, containers)) };
}

async function sendImages(options: EngineApiOptions, clock: Clock, exchange: Exchange): Promise<void> {
  const { images } = options;
  const { query } = exchange;
  const filters = new Map(query.filters());
  // Before filters there was one, of a name.
  if (!exchange.speaks(41) && query.text('filter') !== '') filters.set('reference', [query.text('filter')]);
  const listed = await listImages(images, { all: query.flag('all'), filters, now: clock.now() }).catch(untilAsFailure);
  const sharedBy = exchange.speaks(42) && query.flag('shared-size') ? await sharedSizes(images) : undefined;
  const containers = exchange.speaks(47) && query.flag('manifests') ? await containersByImage(options) : undefined;
  const manifests = new Map<string, readonly ImageManifest[]>();
  // Removed since, an image has none.
  for (const { image, tags, digests } of containers ? listed : [])
    manifests.set(image.id, await manifestsBehind(images, tags[0] ?? digests[0] ?? image.id));
  // Before 1.43 no list was empty: `null` beside names of the other kind.
  const namesOf = (names: readonly string[], others: readonly string[], none: string): readonly string[] | null =>
    names.length > 0 || exchange.speaks(43) ? names : others.length === 0 ? [none] : null;
  exchange.send(
    200,
    listed.map(({ image, tags, digests }) => ({
      Containers: -1,
      Created: Math.floor((image.createdAt ?? 0) / 1000),
      Id: image.id,
      Labels: labelsOf(image),
      ParentId: image.parent ?? '',
      RepoDigests: namesOf(digests, tags, '<none>@<none>'),
      RepoTags: namesOf(tags, digests, '<none>:<none>'),
      SharedSize: sharedBy?.(image) ?? -1,
      Size: image.sizeBytes,
      ...(exchange.speaks(44) ? {} : { VirtualSize: image.sizeBytes }),
      ...(containers && {
        Manifests: manifests.get(image.id)!.map((manifest) => manifestSummary(manifest, containers)),
      }),
    })),
  );
}

async function manifestsBehind(images: EngineImages, reference: string): Promise<readonly ImageManifest[]> {
  return await images.manifests(reference).then(
    ({ manifests }) => manifests,
    (error: unknown) => {
      if (codeOf(error) === 'notFound') return [];
      throw error;
    },
  );
}

/** The container that uses an image, or the step of a build. */
function userOf({ containers, builder }: EngineApiOptions, id: string): ReturnType<typeof containers.userOfImage> {
  const build = builder?.userOfImage(id);
  return build === undefined ? containers.userOfImage(id) : { containerId: build, running: true };
}

/** dockerd calls it a failure of its own here where a time is none. */
function untilOf(filters: Filters, now: number): number | undefined {
  try {
    return untilFilter(filters, now);
  } catch (error) {
    return untilAsFailure(error);
  }
}

function untilAsFailure(error: unknown): never {
  const words = messageOf(error);
  if (!words.startsWith('failed to parse value as time or duration')) throw error;
  throw new WherryError('internal', words, { cause: error });
}

async function prune(options: EngineApiOptions, clock: Clock, exchange: Exchange): Promise<void> {
  const filters = exchange.query.filters();
  checkFilters(filters, ['dangling', 'label', 'label!', 'until']);
  const until = untilOf(filters, clock.now());
  const { removed, bytes } = await options.images.prune({
    all: !(booleanFilter(filters, 'dangling') ?? true),
    filter: ({ labels, createdAt }) =>
      matchesPruneLabels(labels, filters) && (until === undefined || (createdAt !== undefined && createdAt < until)),
    inUse: (id) => userOf(options, id),
  });
  exchange.send(200, { ImagesDeleted: removed.length === 0 ? null : removed.map(removedPart), SpaceReclaimed: bytes });
}
