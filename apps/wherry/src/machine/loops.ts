import { builtinKinds } from '@wherry/api';
import type { ApiServer } from '@wherry/apiserver';
import type { InformerFactory } from '@wherry/client';
import { type Controllers, createControllers, type KindResource } from '@wherry/controllers';
import { createScheduler, type Scheduler } from '@wherry/scheduler';
import type { ClusterConfig } from './cluster-config.ts';
import { componentUser, controllerUser, type Surroundings } from './control-plane.ts';

export function startScheduler(
  config: ClusterConfig,
  server: ApiServer,
  informers: InformerFactory,
  { clock, log }: Surroundings,
): Scheduler {
  return createScheduler({
    client: server.client(componentUser('kube-scheduler')),
    informers,
    clock,
    log: log.with({ part: 'scheduler' }),
    identity: candidate(config),
  });
}

/**
 * All controllers, each under its own account. The store's lock lets only one process have this machine's state, so
 * the candidate's name is the machine's: after a restart it leads again at once.
 */
export function startControllers(
  config: ClusterConfig,
  server: ApiServer,
  informers: InformerFactory,
  rootCa: string,
  { clock, random, log }: Surroundings,
): Controllers {
  return createControllers({
    client: server.client(componentUser('kube-controller-manager')),
    clientFor: (name) => server.client(controllerUser(name)),
    informers,
    clock,
    random,
    log: log.with({ part: 'controllers' }),
    options: {
      kinds: deletableKinds,
      rootCa,
      clusterCidr: config.clusterCidr,
      identity: candidate(config),
    },
  });
}

function candidate({ nodeName, name }: ClusterConfig): string {
  return `${nodeName}_${name}`;
}

/** What namespaces and the garbage collector must look at: everything that is stored, listed and deleted. */
function deletableKinds(): readonly KindResource[] {
  return builtinKinds
    .filter(
      ({ verbs, view }) =>
        view === undefined &&
        (verbs === undefined || (verbs.includes('list') && verbs.includes('delete') && verbs.includes('watch'))),
    )
    .map(({ group, version, resource, namespaced, kind }) => ({ group, version, resource, namespaced, kind }));
}
