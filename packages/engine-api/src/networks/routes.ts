import { codeOf, systemClock, WherryError } from '@wherry/base';
import type { NetworkRecord } from '@wherry/network';
import { BodyFields } from '../http/body-fields.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkFilters, matchesPruneLabels, untilFilter } from '../http/filters.ts';
import type { Route } from '../http/router.ts';
import type { EngineApiOptions } from '../options.ts';
import { networkToCreate } from './create-network.ts';
import { networkResource, scopeOf } from './network-resource.ts';
import { selectNetworks } from './select-networks.ts';

/** `/networks`. */
export function networkRoutes(options: EngineApiOptions): readonly Route[] {
  const { networks, containers } = options;
  const list = (exchange: Exchange): void => {
    const chosen = selectNetworks(networks.list(), exchange.query.filters(), ({ id }) => isUsed(options, id));
    exchange.send(
      200,
      chosen.map((network) => networkResource(network, [], (minor) => exchange.speaks(minor))),
    );
  };
  return [
    { method: 'GET', path: '/networks', handle: list },
    { method: 'GET', path: '/networks/', handle: list },
    {
      method: 'GET',
      path: '/networks/{name:.+}',
      handle(exchange) {
        checkVerbose(exchange);
        const network = find(options, exchange);
        const scope = exchange.query.text('scope');
        if (scope !== '' && scope !== scopeOf(network)) throw noNetwork(exchange.parameter('name'));
        const endpoints = networks.endpointsOf(network.id);
        exchange.send(
          200,
          networkResource(network, endpoints, (minor) => exchange.speaks(minor)),
        );
      },
    },
    {
      method: 'POST',
      path: '/networks/create',
      async handle(exchange) {
        const created = await networks.create(networkToCreate(await exchange.json()));
        announce(options, 'create', created);
        exchange.send(201, { Id: created.id, Warning: '' });
      },
    },
    {
      method: 'POST',
      path: '/networks/{name:.*}/connect',
      async handle(exchange) {
        const fields = new BodyFields(await exchange.json(), 'ConnectOptions');
        const endpoint = fields.raw('EndpointConfig', 'network.EndpointSettings') ?? {};
        await containers.connectNetwork(exchange.parameter('name'), fields.text('Container'), endpoint);
        exchange.sendNothing(200);
      },
    },
    {
      method: 'POST',
      path: '/networks/{name:.*}/disconnect',
      async handle(exchange) {
        const fields = new BodyFields(await exchange.json(), 'DisconnectOptions');
        const force = fields.flag('Force');
        await containers.disconnectNetwork(exchange.parameter('name'), fields.text('Container'), { force });
        exchange.sendNothing(200);
      },
    },
    { method: 'POST', path: '/networks/prune', handle: (exchange) => prune(options, exchange) },
    {
      method: 'DELETE',
      path: '/networks/{name:.*}',
      async handle(exchange) {
        const network = find(options, exchange);
        await networks.remove(network.id);
        announce(options, 'destroy', network);
        exchange.sendNothing();
      },
    },
  ];
}

function isUsed({ networks }: EngineApiOptions, id: string): boolean {
  return networks.endpointsOf(id).length > 0;
}

function find({ networks }: EngineApiOptions, exchange: Exchange): NetworkRecord {
  const name = exchange.parameter('name');
  const network = networks.find(name);
  if (network === undefined) throw noNetwork(name);
  return network;
}

function noNetwork(name: string): WherryError {
  return new WherryError('notFound', `network ${name} not found`);
}

/** There is nothing more to tell, but what is no truth value is refused. */
function checkVerbose({ query }: Exchange): void {
  const verbose = query.text('verbose');
  if (verbose !== '' && !/^(1|0|t|f|T|F|true|false|TRUE|FALSE|True|False)$/.test(verbose)) {
    throw new WherryError(
      'invalid',
      `invalid value for verbose: ${verbose}: strconv.ParseBool: parsing ${JSON.stringify(verbose)}: invalid syntax`,
    );
  }
}

function announce({ events }: EngineApiOptions, action: string, { id, name, driver }: NetworkRecord): void {
  events.emit('network', action, id, { name, type: driver });
}

async function prune(options: EngineApiOptions, exchange: Exchange): Promise<void> {
  const { networks, events, clock = systemClock } = options;
  const filters = exchange.query.filters();
  checkFilters(filters, ['label', 'label!', 'until']);
  const until = untilFilter(filters, clock.now());
  const deleted: string[] = [];
  for (const network of networks.list()) {
    if (
      network.predefined ||
      network.configOnly === true ||
      isUsed(options, network.id) ||
      !matchesPruneLabels(network.labels, filters)
    )
      continue;
    if (until !== undefined && network.createdAt > until) continue;
    try {
      await networks.remove(network.id);
    } catch (error) {
      // Somebody took it meanwhile, or was faster.
      if (codeOf(error) === 'forbidden' || codeOf(error) === 'notFound') continue;
      throw error;
    }
    announce(options, 'destroy', network);
    deleted.push(network.name);
  }
  events.emit('network', 'prune', '', { reclaimed: '0' });
  exchange.send(200, { NetworksDeleted: deleted.length === 0 ? null : deleted });
}
