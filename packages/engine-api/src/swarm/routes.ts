import { WherryError } from '@wherry/base';
import { booleanFilter, checkFilters } from '../http/filters.ts';
import type { Method, Route } from '../http/router.ts';

/** What dockerd says wherever a swarm would be needed. */
export const notSwarmManager =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

const methods: readonly Method[] = ['GET', 'POST', 'PUT', 'DELETE'];

/** Swarms, plug-ins and checkpoints: none of them is here, and clients are told as dockerd tells them. */
export function absentRoutes(): readonly Route[] {
  const refuse = (method: Method, path: string, code: 'unavailable' | 'unsupported', message: string): Route => ({
    method,
    path,
    handle() {
      throw new WherryError(code, message);
    },
  });
  const noSwarm = 'swarms are not supported here: for more than one machine there is Kubernetes';
  const experimental =
    'This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.';
  return [
    refuse('POST', '/swarm/init', 'unsupported', noSwarm),
    refuse('POST', '/swarm/join', 'unsupported', noSwarm),
    refuse('POST', '/swarm/leave', 'unavailable', 'This node is not part of a swarm'),
    ...['swarm', 'nodes', 'services', 'tasks', 'secrets', 'configs'].flatMap((subject) =>
      methods.flatMap((method) => [
        refuse(method, `/${subject}`, 'unavailable', notSwarmManager),
        refuse(method, `/${subject}/{rest:.*}`, 'unavailable', notSwarmManager),
      ]),
    ),
    ...(['GET', 'POST', 'DELETE'] as const).map((method) =>
      refuse(method, '/containers/{name:.*}/checkpoints{rest:.*}', 'unsupported', experimental),
    ),
    ...pluginRoutes(),
  ];
}

function pluginRoutes(): readonly Route[] {
  const unsupported = (): never => {
    throw new WherryError('unsupported', 'plug-ins are not supported');
  };
  const missing: Route['handle'] = (exchange) => {
    const name = exchange.parameter('name');
    throw new WherryError('notFound', `plugin ${JSON.stringify(name)} not found`);
  };
  return [
    {
      method: 'GET',
      path: '/plugins',
      handle(exchange) {
        const filters = exchange.query.filters();
        checkFilters(filters, ['capability', 'enabled']);
        booleanFilter(filters, 'enabled');
        exchange.send(200, []);
      },
    },
    { method: 'GET', path: '/plugins/privileges', handle: unsupported },
    { method: 'POST', path: '/plugins/pull', handle: unsupported },
    { method: 'POST', path: '/plugins/create', handle: unsupported },
    { method: 'GET', path: '/plugins/{name:.*}/json', handle: missing },
    { method: 'POST', path: '/plugins/{name:.*}/{action:enable|disable|push|upgrade|set}', handle: missing },
    { method: 'DELETE', path: '/plugins/{name:.*}', handle: missing },
  ];
}
