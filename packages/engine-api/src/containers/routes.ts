import type { Route } from '../http/router.ts';
import type { EngineApiOptions } from '../options.ts';
import { archiveRoutes } from './archive-routes.ts';
import { execRoutes } from './exec-routes.ts';
import { lifecycleRoutes } from './lifecycle-routes.ts';
import { observationRoutes } from './observation-routes.ts';
import { streamRoutes } from './stream-routes.ts';

/** `/containers`, `/exec` and `/commit`. */
export function containerRoutes(options: EngineApiOptions): readonly Route[] {
  const { containers } = options;
  return [
    // Before those with a name: `/containers/json` is no container.
    ...lifecycleRoutes(containers),
    ...observationRoutes(containers),
    ...streamRoutes(containers),
    ...execRoutes(containers),
    ...archiveRoutes(containers),
  ];
}
