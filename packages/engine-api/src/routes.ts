import { buildRoutes } from './build/routes.ts';
import { containerRoutes } from './containers/routes.ts';
import { eventRoutes } from './events/routes.ts';
import type { Route } from './http/router.ts';
import { distributionRoutes } from './images/distribution-routes.ts';
import { imageRoutes } from './images/routes.ts';
import { networkRoutes } from './networks/routes.ts';
import type { EngineApiOptions } from './options.ts';
import { absentRoutes } from './swarm/routes.ts';
import { systemRoutes } from './system/routes.ts';
import { volumeRoutes } from './volumes/routes.ts';

/** Every route of the API, and how to give up what they hold. */
export async function routesOf(
  options: EngineApiOptions,
): Promise<{ readonly routes: readonly Route[]; readonly dispose: () => Promise<void> }> {
  const { images, events } = options;
  const announced = images.onEvent(({ action, id, name, attributes }) =>
    events.emit('image', action, id, { ...attributes, ...(name === undefined ? {} : { name }) }),
  );
  const routes = [
    ...systemRoutes(options),
    ...eventRoutes(options),
    ...absentRoutes(),
    ...containerRoutes(options),
    ...imageRoutes(options),
    ...distributionRoutes(options),
    ...networkRoutes(options),
    ...volumeRoutes(options),
    ...(await buildRoutes(options)),
  ];
  return { routes, dispose: async () => announced[Symbol.dispose]() };
}
