import { WherryError } from '@wherry/base';
import type { Exchange } from '../http/exchange.ts';
import type { Route } from '../http/router.ts';
import type { EngineApiOptions } from '../options.ts';
import { type DiskUsageType, diskUsageOf, diskUsageTypes } from './disk-usage.ts';
import { informationOf } from './information.ts';
import { versionOf } from './version.ts';

/** `/_ping`, `/version`, `/info`. */
export function systemRoutes(options: EngineApiOptions): readonly Route[] {
  return [
    { method: 'GET', path: '/_ping', handle: (exchange) => ping(exchange, 'OK') },
    { method: 'HEAD', path: '/_ping', handle: (exchange) => ping(exchange, '') },
    {
      method: 'GET',
      path: '/version',
      async handle(exchange) {
        exchange.send(200, versionOf(await options.facts()));
      },
    },
    {
      method: 'GET',
      path: '/info',
      async handle(exchange) {
        exchange.send(200, await informationOf(options, (minor) => exchange.speaks(minor)));
      },
    },
    {
      method: 'GET',
      path: '/system/df',
      async handle(exchange) {
        exchange.send(200, await diskUsageOf(options, typesOf(exchange), (minor) => exchange.speaks(minor)));
      },
    },
  ];
}

/** `type` of a disk usage, as often as wanted; all without one. Throws `invalid`. */
function typesOf({ query }: Exchange): ReadonlySet<DiskUsageType> {
  const types = new Set<DiskUsageType>();
  for (const given of query.all('type')) {
    const type = diskUsageTypes.find((known) => known === given);
    if (type === undefined) throw new WherryError('invalid', `unknown object type: ${given}`);
    types.add(type);
  }
  return types.size === 0 ? new Set(diskUsageTypes) : types;
}

function ping({ response }: Exchange, text: string): void {
  response.writeHead(200, {
    // 1: no BuildKit, so clients take the classic builder.
    'Builder-Version': '1',
    'Cache-Control': 'no-cache, no-store, must-revalidate',
    Pragma: 'no-cache',
    Swarm: 'inactive',
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': text.length,
  });
  response.end(text);
}
