import { WherryError } from '@wherry/base';
import type { DockerContainers } from '@wherry/docker';
import type { Exchange } from '../http/exchange.ts';
import type { Route } from '../http/router.ts';
import { parsePlatform } from '../images/platforms.ts';
import { bodyOfClient } from './older-clients.ts';

const containerMac =
  'The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.';

/** Creating, starting, stopping and removing containers. */
export function lifecycleRoutes(containers: DockerContainers): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/containers/create',
      async handle(exchange) {
        const name = exchange.query.optional('name');
        const platform = exchange.speaks(41) ? exchange.query.optional('platform') : undefined;
        parsePlatform(platform ?? '');
        const given = await exchange.json({ required: true, type: 'runconfig.ContainerConfigWrapper' });
        const body = bodyOfClient(exchange, given);
        const created = await containers.create(body, {
          ...(name === undefined ? {} : { name }),
          ...(platform === undefined ? {} : { platform }),
        });
        const { MacAddress: mac } = body;
        const outdated = exchange.speaks(44) && typeof mac === 'string' && mac !== '' ? [containerMac] : [];
        exchange.send(201, { Id: created.Id, Warnings: [...outdated, ...created.Warnings] });
      },
    },
    {
      method: 'POST',
      path: '/containers/{name:.*}/start',
      async handle(exchange) {
        refuseBody(exchange);
        if (exchange.query.text('checkpoint') !== '')
          throw new WherryError('invalid', 'checkpoint is only supported in experimental mode');
        const started = await containers.start(nameOf(exchange));
        exchange.sendNothing(started ? 204 : 304);
      },
    },
    {
      method: 'POST',
      path: '/containers/{name:.*}/stop',
      async handle(exchange) {
        const stopped = await containers.stop(nameOf(exchange), stopOptions(exchange));
        exchange.sendNothing(stopped ? 204 : 304);
      },
    },
    {
      method: 'POST',
      path: '/containers/{name:.*}/restart',
      async handle(exchange) {
        await containers.restart(nameOf(exchange), stopOptions(exchange));
        exchange.sendNothing();
      },
    },
    {
      method: 'POST',
      path: '/containers/{name:.*}/kill',
      async handle(exchange) {
        await containers.kill(nameOf(exchange), exchange.query.optional('signal'));
        exchange.sendNothing();
      },
    },
    {
      method: 'POST',
      path: '/containers/{name:.*}/pause',
      async handle(exchange) {
        await containers.pause(nameOf(exchange));
        exchange.sendNothing();
      },
    },
    {
      method: 'POST',
      path: '/containers/{name:.*}/unpause',
      async handle(exchange) {
        await containers.unpause(nameOf(exchange));
        exchange.sendNothing();
      },
    },
    {
      method: 'POST',
      path: '/containers/{name:.*}/rename',
      async handle(exchange) {
        await containers.rename(nameOf(exchange), exchange.query.text('name'));
        exchange.sendNothing();
      },
    },
    {
      method: 'POST',
      path: '/containers/{name:.*}/update',
      async handle(exchange) {
        exchange.send(
          200,
          await containers.update(nameOf(exchange), await exchange.json({ type: 'container.UpdateConfig' })),
        );
      },
    },
    {
      method: 'POST',
      path: '/containers/prune',
      async handle(exchange) {
        exchange.send(200, await containers.prune(exchange.query.filters()));
      },
    },
    {
      method: 'DELETE',
      path: '/containers/{name:.*}',
      async handle(exchange) {
        const { query } = exchange;
        await containers.remove(nameOf(exchange), {
          force: query.flag('force'),
          volumes: query.flag('v'),
          link: query.flag('link'),
        });
        exchange.sendNothing();
      },
    },
  ];
}

export function nameOf(exchange: Exchange): string {
  return exchange.parameter('name');
}

function stopOptions(exchange: Exchange): { signal?: string; timeout?: number } {
  const { query } = exchange;
  const signal = exchange.speaks(42) ? query.optional('signal') : undefined;
  const timeout = query.integer('t');
  return { ...(signal === undefined ? {} : { signal }), ...(timeout === undefined ? {} : { timeout }) };
}

/** Clients before 1.24 gave a HostConfig here; dockerd lets `{}` and the like pass. */
function refuseBody({ request }: Exchange): void {
  const length = Number(request.headers['content-length'] ?? 0);
  if (length <= 7 && request.headers['transfer-encoding'] === undefined) return;
  throw new WherryError(
    'invalid',
    'starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24',
  );
}
