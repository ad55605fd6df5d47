import { type Clock, systemClock } from '@wherry/base';
import type { Exchange } from '../http/exchange.ts';
import { booleanFilter, checkFilters, matchesPruneLabels, untilFilter } from '../http/filters.ts';
import type { Route } from '../http/router.ts';
import type { EngineApiOptions } from '../options.ts';
import { historyOf } from './history.ts';
import { imageInspection } from './inspect-image.ts';
import { listImages } from './list-images.ts';
import { joinName } from './names.ts';
import { platformAsked } from './platforms.ts';
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
        const image = await images.details(exchange.parameter('name'), platformAsked(exchange, 49));
        exchange.send(
          200,
          imageInspection(image, (minor) => exchange.speaks(minor)),
        );
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
        const removed = await images.remove(exchange.parameter('name'), {
          force: query.flag('force'),
          pruneParents: !query.flag('noprune'),
          inUse: (id) => options.containers.userOfImage(id),
        });
        exchange.send(200, removed.map(removedPart));
      },
    },
  ];
}

function removedPart(part: { untagged: string } | { deleted: string }): Readonly<Record<string, string>> {
  return 'untagged' in part ? { Untagged: part.untagged } : { Deleted: part.deleted };
}

async function sendImages({ images }: EngineApiOptions, clock: Clock, exchange: Exchange): Promise<void> {
  const { query } = exchange;
  const filters = new Map(query.filters());
  // Before filters there was one, of a name.
  if (!exchange.speaks(41) && query.text('filter') !== '') filters.set('reference', [query.text('filter')]);
  const listed = await listImages(images, { all: query.flag('all'), filters, now: clock.now() });
  exchange.send(
    200,
    listed.map(({ image, tags, digests }) => ({
      Containers: -1,
      Created: Math.floor((image.createdAt ?? 0) / 1000),
      Id: image.id,
      Labels: Object.keys(image.labels).length === 0 ? null : image.labels,
      ParentId: image.parent ?? '',
      RepoDigests: digests.length === 0 && tags.length === 0 && !exchange.speaks(43) ? ['<none>@<none>'] : digests,
      RepoTags: digests.length === 0 && tags.length === 0 && !exchange.speaks(43) ? ['<none>:<none>'] : tags,
      SharedSize: -1,
      Size: image.sizeBytes,
      ...(exchange.speaks(44) ? {} : { VirtualSize: image.sizeBytes }),
    })),
  );
}

async function prune(options: EngineApiOptions, clock: Clock, exchange: Exchange): Promise<void> {
  const filters = exchange.query.filters();
  checkFilters(filters, ['dangling', 'label', 'label!', 'until']);
  const until = untilFilter(filters, clock.now());
  const { removed, bytes } = await options.images.prune({
    all: !(booleanFilter(filters, 'dangling') ?? true),
    filter: ({ labels, createdAt }) =>
      matchesPruneLabels(labels, filters) && (until === undefined || (createdAt !== undefined && createdAt < until)),
    inUse: (id) => options.containers.userOfImage(id),
  });
  exchange.send(200, { ImagesDeleted: removed.length === 0 ? null : removed.map(removedPart), SpaceReclaimed: bytes });
}
