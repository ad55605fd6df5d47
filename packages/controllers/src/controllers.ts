import { type Clock, type Logger, messageOf, type Random, sleep } from '@wherry/base';
import { type ApiClient, backoffDelay, type InformerFactory, runLeaderElection } from '@wherry/client';
import { clusterRoleAggregationController } from './cluster-role/aggregation.ts';
import type { Controller, ControllerContext } from './context.ts';
import { cronJobController } from './cron-job/cron-job.ts';
import { daemonSetController } from './daemon-set/daemon-set.ts';
import { deploymentController } from './deployment/deployment.ts';
import { disruptionController } from './disruption/disruption.ts';
import { endpointSliceController } from './endpoints/endpoint-slices.ts';
import { endpointsController } from './endpoints/endpoints.ts';
import { endpointSliceMirroringController } from './endpoints/mirroring.ts';
import { garbageCollector } from './garbage-collector/garbage-collector.ts';
import { jobController } from './job/job.ts';
import { ttlAfterFinishedController } from './job/ttl-after-finished.ts';
import type { KindSource } from './kinds.ts';
import { namespaceController } from './namespace/namespace.ts';
import { nodeIpamController } from './node/node-ipam.ts';
import { nodeLifecycleController } from './node/node-lifecycle.ts';
import { podGarbageCollector } from './node/pod-gc.ts';
import { taintEvictionController } from './node/taint-eviction.ts';
import { resourceQuotaController } from './quota/resource-quota.ts';
import { replicaSetController, replicationController } from './replica-set/replica-set.ts';
import { rootCaPublisher, serviceAccountController } from './service-account/service-account.ts';
import { statefulSetController } from './stateful-set/stateful-set.ts';
import { volumeBinder } from './volume/binder.ts';
import { claimProtectionController, volumeProtectionController } from './volume/protection.ts';

/** Facts of the cluster that controllers need. */
export interface ControllersOptions {
  /** All kinds that can be listed, watched and deleted: for namespaces and the garbage collector. */
  readonly kinds: KindSource;
  /** PEM of the cluster's CA, published in every namespace. */
  readonly rootCa: string;
  /** IPv4 range that nodes get their pod ranges from, e.g. `10.244.0.0/16`; left out: nodes bring their own. */
  readonly clusterCidr?: string;
  /** Bits of a node's pod range. Default 24. */
  readonly nodeCidrMask?: number;
  /** Candidate's name in the election: one per machine, the same after a restart. */
  readonly identity: string;
}

/** What the controller manager is made of. `clientFor` gives a client that is authorised as a controller. */
export interface ControllersParts {
  readonly client: ApiClient;
  readonly clientFor?: (controller: string) => ApiClient;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly options: ControllersOptions;
}

/** All controllers; they work while this process holds the Lease `kube-controller-manager`. */
export interface Controllers {
  run(signal: AbortSignal): Promise<void>;
}

type Make = (context: ControllerContext, options: ControllersOptions) => Controller;

/** Every controller under its name, which is its service account's unless `accounts` says otherwise. */
const makers: Readonly<Record<string, Make>> = {
  'replicaset-controller': replicaSetController,
  'replication-controller': replicationController,
  'deployment-controller': deploymentController,
  'job-controller': jobController,
  'ttl-after-finished-controller': ttlAfterFinishedController,
  'cronjob-controller': cronJobController,
  'statefulset-controller': statefulSetController,
  'daemon-set-controller': daemonSetController,
  'endpointslice-controller': endpointSliceController,
  'endpoint-controller': endpointsController,
  'endpointslicemirroring-controller': endpointSliceMirroringController,
  'disruption-controller': disruptionController,
  'resourcequota-controller': (context, { kinds }) => resourceQuotaController(context, kinds),
  'clusterrole-aggregation-controller': clusterRoleAggregationController,
  'persistent-volume-binder': volumeBinder,
  'pvc-protection-controller': claimProtectionController,
  'pv-protection-controller': volumeProtectionController,
  'service-account-controller': serviceAccountController,
  'root-ca-cert-publisher': (context, { rootCa }) => rootCaPublisher(context, rootCa),
  'namespace-controller': (context, { kinds }) => namespaceController(context, kinds),
  'node-controller': nodeLifecycleController,
  'taint-eviction-controller': taintEvictionController,
  'pod-garbage-collector': podGarbageCollector,
  'node-ipam-controller': (context, { clusterCidr, nodeCidrMask = 24 }) =>
    nodeIpamController(context, clusterCidr, nodeCidrMask),
  'generic-garbage-collector': (context, { kinds }) => garbageCollector(context, kinds),
};

/** Controllers that act as another one's service account: upstream runs them with the node controller's rights. */
const accounts: Readonly<Record<string, string>> = {
  'taint-eviction-controller': 'node-controller',
  'node-ipam-controller': 'node-controller',
};

/** Makes the controller manager. A controller that fails is started again with back-off; the others go on. */
export function createControllers(parts: ControllersParts): Controllers {
  const { client, clientFor = () => client, informers, clock, random, log, options } = parts;
  const lead = async (signal: AbortSignal): Promise<void> => {
    await Promise.all(
      Object.entries(makers).map(([name, make]) => {
        const context = { client: clientFor(accounts[name] ?? name), informers, clock, random, log };
        return keepRunning(() => make(context, options), { clock, log, signal });
      }),
    );
  };
  return {
    async run(signal) {
      const name = 'kube-controller-manager';
      const { identity } = options;
      await runLeaderElection({ client, clock, log, namespace: 'kube-system', name, identity, signal, lead });
    },
  };
}

async function keepRunning(
  make: () => Controller,
  { clock, log, signal }: { clock: Clock; log: Logger; signal: AbortSignal },
): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    const controller = make();
    try {
      await controller.run(signal);
      if (signal.aborted) return;
    } catch (error) {
      log.error('a controller failed', { controller: controller.name, error: messageOf(error) });
    }
    await sleep(clock, backoffDelay(++failures, 100, 30_000), { signal }).catch(() => undefined);
  }
}
