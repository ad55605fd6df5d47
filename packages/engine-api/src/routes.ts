import { containerRoutes } from './containers/routes.ts';
import type { Route } from './http/router.ts';
import { imageRoutes } from './images/routes.ts';
import type { EngineApiOptions } from './options.ts';
import { systemRoutes } from './system/routes.ts';

/** Every route of the API, and how to give up what they hold. */
export async function routesOf(
  options: EngineApiOptions,
): Promise<{ readonly routes: readonly Route[]; readonly dispose: () => Promise<void> }> {
  const routes = [...systemRoutes(options), ...containerRoutes(options), ...imageRoutes(options)];
  return { routes, dispose: async () => undefined };
}
