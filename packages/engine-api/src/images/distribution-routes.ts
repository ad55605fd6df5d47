import type { Route } from '../http/router.ts';
import type { EngineApiOptions } from '../options.ts';
import { registryAuth } from './registry-auth.ts';

/** `/distribution/{name}/json`: what a registry has under a name. */
export function distributionRoutes({ images }: EngineApiOptions): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/distribution/{name:.*}/json',
      async handle(exchange) {
        const auth = registryAuth(exchange.request.headers['x-registry-auth']);
        const { descriptor, platforms } = await images.remoteManifest(exchange.parameter('name'), {
          auth,
          signal: exchange.signal,
        });
        const { mediaType, digest, size } = descriptor;
        exchange.send(200, { Descriptor: { mediaType, digest, size }, Platforms: platforms });
      },
    },
  ];
}
