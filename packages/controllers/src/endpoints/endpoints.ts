import type { V1Endpoints, V1Pod, V1Service } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { equalJson, keyOf, resources, sharedIndexes, splitKey } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { headlessLabel } from './endpoint-slices.ts';
import { addressTypesOf, planGroups, planSubsets } from './plan.ts';
import { selectedPods, watchServicePods } from './service-pods.ts';

const managedBy = { 'endpoints.kubernetes.io/managed-by': 'endpoint-controller' };
const overCapacity = 'endpoints.kubernetes.io/over-capacity';

/** Keeps the (older) Endpoints objects of services with a selector. */
export function endpointsController(context: ControllerContext): Controller {
  const { client, informers } = context;
  return defineController(context, {
    name: 'endpoint-controller',
    kind: { apiVersion: 'v1', kind: 'Service' },
    start({ queue }) {
      const services = informers.informer<V1Service>(resources.services, {
        indexes: { namespace: sharedIndexes.namespace },
      });
      const pods = informers.informer<V1Pod>(resources.pods, { indexes: { namespace: sharedIndexes.namespace } });
      const endpoints = informers.informer<V1Endpoints>(resources.endpoints);
      return {
        synced: [services.synced, pods.synced, endpoints.synced],
        subscriptions: [
          services.onChange((change) => queue.add(keyOf(change.object))),
          watchServicePods(pods, services, (key) => queue.add(key)),
          endpoints.onChange((change) => queue.add(keyOf(change.object))),
        ],
        async reconcile(key) {
          const service = services.get(key);
          const existing = endpoints.get(key);
          const { namespace, name } = splitKey(key);
          if (service === undefined) {
            // Endpoints that people made without a service are theirs, and so are leader election's.
            if (!existing || existing.metadata?.labels?.['endpoints.kubernetes.io/managed-by'] === undefined) return;
            await client.delete(resources.endpoints, { namespace, name }).catch((error: unknown) => {
              if (codeOf(error) !== 'notFound') throw error;
            });
            return;
          }
          if (!service.spec?.selector || service.spec.type === 'ExternalName') return;
          const wanted = wantedEndpoints(service, pods.byIndex('namespace', namespace ?? ''));
          if (existing === undefined) {
            await client.create<V1Endpoints>(resources.endpoints, wanted);
            return;
          }
          const metadata = {
            ...existing.metadata,
            labels: wanted.metadata?.labels,
            annotations: { ...existing.metadata?.annotations },
          };
          delete metadata.annotations[overCapacity];
          Object.assign(metadata.annotations, wanted.metadata?.annotations);
          const same =
            equalJson(existing.subsets ?? [], wanted.subsets) &&
            equalJson(existing.metadata?.labels, metadata.labels) &&
            equalJson(existing.metadata?.annotations ?? {}, metadata.annotations);
          if (!same)
            await client.update<V1Endpoints>(resources.endpoints, { ...existing, metadata, subsets: wanted.subsets });
        },
      };
    },
  });
}

function wantedEndpoints(service: V1Service, podsOfNamespace: readonly V1Pod[]): V1Endpoints {
  const [type = 'IPv4'] = addressTypesOf(service);
  const { subsets, truncated } = planSubsets(planGroups(service, selectedPods(service, podsOfNamespace), type));
  const { name, namespace, labels } = service.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: name ?? '',
      ...(namespace ? { namespace } : {}),
      labels: { ...labels, ...managedBy, ...(service.spec?.clusterIP === 'None' ? { [headlessLabel]: '' } : {}) },
      ...(truncated ? { annotations: { [overCapacity]: 'truncated' } } : {}),
    },
    subsets,
  };
}
