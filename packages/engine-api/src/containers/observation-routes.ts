import { WherryError } from '@wherry/base';
import type { DockerContainers } from '@wherry/docker';
import type { Exchange } from '../http/exchange.ts';
import { parseInteger } from '../http/query.ts';
import type { Route } from '../http/router.ts';
import { nameOf } from './lifecycle-routes.ts';
import { inspectionForClient } from './older-clients.ts';

const conditions = ['not-running', 'next-exit', 'removed'] as const;

/** Looking at containers, and waiting for them. */
export function observationRoutes(containers: DockerContainers): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/containers/json',
      async handle(exchange) {
        const { query } = exchange;
        const limit = query.integer('limit') ?? 0;
        const list = await containers.list({
          all: query.flag('all'),
          size: query.flag('size'),
          filters: query.filters(),
          ...(limit > 0 ? { limit } : {}),
        });
        exchange.send(200, list);
      },
    },
    {
      method: 'GET',
      path: '/containers/{name:.*}/json',
      async handle(exchange) {
        const container = await containers.inspect(nameOf(exchange), { size: exchange.query.flag('size') });
        exchange.send(200, inspectionForClient(exchange, container));
      },
    },
    {
      method: 'GET',
      path: '/containers/{name:.*}/top',
      async handle(exchange) {
        exchange.send(200, await containers.top(nameOf(exchange), exchange.query.optional('ps_args') ?? '-ef'));
      },
    },
    { method: 'GET', path: '/containers/{name:.*}/stats', handle: (exchange) => sendStats(containers, exchange) },
    {
      method: 'GET',
      path: '/containers/{name:.*}/changes',
      async handle(exchange) {
        const changes = await containers.changes(nameOf(exchange));
        exchange.send(200, changes.length === 0 ? null : changes);
      },
    },
    { method: 'POST', path: '/containers/{name:.*}/wait', handle: (exchange) => sendExit(containers, exchange) },
    {
      method: 'POST',
      path: '/containers/{name:.*}/resize',
      async handle(exchange) {
        await containers.resize(nameOf(exchange), sizeOf(exchange));
        exchange.sendNothing(200);
      },
    },
  ];
}

/** `h` and `w` of a resize, both needed. */
export function sizeOf({ query }: Exchange): { height: number; width: number } {
  return { height: parseInteger(query.text('h')), width: parseInteger(query.text('w')) };
}

async function sendStats(containers: DockerContainers, exchange: Exchange): Promise<void> {
  const { query } = exchange;
  const stream = query.flag('stream', true);
  const oneShot = exchange.speaks(41) && query.flag('one-shot');
  if (stream && oneShot) throw new WherryError('invalid', 'cannot have stream=true and one-shot=true');
  const readings = await containers.stats(nameOf(exchange), { stream, oneShot }, exchange.signal);
  if (!stream) {
    for await (const reading of readings) return exchange.send(200, reading);
    return exchange.sendNothing(200);
  }
  const lines = exchange.lines();
  lines.begin();
  await lines.writeAll(readings, exchange.signal);
  lines.end();
}

/** The headers go out once the container is found: the client starts it only then. */
async function sendExit(containers: DockerContainers, exchange: Exchange): Promise<void> {
  const given = (exchange.speaks(30) ? exchange.query.optional('condition') : undefined) ?? 'not-running';
  const condition = conditions.find((known) => known === given);
  if (condition === undefined) throw new WherryError('invalid', `invalid condition: ${JSON.stringify(given)}`);
  const { result } = await containers.wait(nameOf(exchange), condition, exchange.signal);
  const lines = exchange.lines();
  if (exchange.speaks(30)) lines.begin();
  // Clients would take an `Error` for one of waiting, and what a start failed with was told by the start.
  const { StatusCode } = await result;
  lines.write({ StatusCode });
  lines.end();
}
