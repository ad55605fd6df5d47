import type { V1EndpointSlice, V1Node, V1Pod, V1Service } from '@wherry/api';
import { keyOf, resources, sharedIndexes } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { addressTypesOf, planGroups, planSlices } from './plan.ts';
import { selectedPods, watchServicePods } from './service-pods.ts';
import { managedByLabel, SliceWriter, serviceNameLabel, sliceService } from './slice-writer.ts';

export const headlessLabel = 'service.kubernetes.io/headless';
const manager = 'endpointslice-controller.k8s.io';
const kind = { apiVersion: 'v1', kind: 'Service' };

/** Keeps the EndpointSlices of services with a selector. */
export function endpointSliceController(context: ControllerContext): Controller {
  const { client, informers, random, clock } = context;
  return defineController(context, {
    name: 'endpoint-slice-controller',
    kind,
    start({ queue }) {
      const services = informers.informer<V1Service>(resources.services, {
        indexes: { namespace: sharedIndexes.namespace },
      });
      const pods = informers.informer<V1Pod>(resources.pods, { indexes: { namespace: sharedIndexes.namespace } });
      const nodes = informers.informer<V1Node>(resources.nodes);
      const slices = informers.informer<V1EndpointSlice>(resources.endpointSlices, {
        indexes: { service: sliceService },
      });
      const writer = new SliceWriter({ client, clock, random, manager, kind });

      return {
        synced: [services.synced, pods.synced, nodes.synced, slices.synced],
        subscriptions: [
          services.onChange((change) => queue.add(keyOf(change.object))),
          watchServicePods(pods, services, (key) => queue.add(key)),
          writer.watch(slices, (service) => queue.add(service)),
        ],
        async reconcile(key) {
          const service = services.get(key);
          const own = slices
            .byIndex('service', key)
            .filter((slice) => slice.metadata?.labels?.[managedByLabel] === manager);
          if (service === undefined) {
            await writer.removeAll(key, own);
            return;
          }
          if (!service.spec?.selector || service.spec.type === 'ExternalName') return;
          if (!writer.isSettled(key)) return; // its slices come through the informer and wake us
          const selected = selectedPods(service, pods.byIndex('namespace', service.metadata?.namespace ?? ''));
          const types = addressTypesOf(service);
          const meta = { labels: sliceLabels(service) };
          for (const type of types) {
            const groups = planGroups(service, selected, type, (name) => nodes.get(name));
            const existing = own.filter((slice) => slice.addressType === type && !slice.metadata?.deletionTimestamp);
            await writer.apply(service, key, planSlices(type, groups, existing, meta), meta.labels);
          }
          for (const slice of own) if (!types.some((type) => type === slice.addressType)) await writer.remove(slice);
        },
      };
    },
  });
}

function sliceLabels(service: V1Service): Record<string, string> {
  return {
    ...service.metadata?.labels,
    [serviceNameLabel]: service.metadata?.name ?? '',
    [managedByLabel]: manager,
    ...(service.spec?.clusterIP === 'None' ? { [headlessLabel]: '' } : {}),
  };
}
