import type { V1EndpointSlice, V1Node, V1Pod, V1Service } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { controllerReference, keyOf, resources, sharedIndexes } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { createdPod, Expectations } from '../pods/expectations.ts';
import { generatedName } from '../pods/pod-from-template.ts';
import { addressTypesOf, planGroups, planSlices, type SlicePlan } from './plan.ts';
import { selectedPods, watchServicePods } from './service-pods.ts';

export const serviceNameLabel = 'kubernetes.io/service-name';
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
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
      const expectations = new Expectations(clock);

      const apply = async (service: V1Service, key: string, plan: SlicePlan): Promise<void> => {
        for (const slice of plan.update) await client.update(resources.endpointSlices, slice);
        for (const part of plan.create) {
          const slice = newSlice(service, part, generatedName(`${service.metadata?.name}-`, random));
          const expected = createdPod(keyOf(slice));
          expectations.expect(key, expected);
          try {
            await client.create(resources.endpointSlices, slice);
          } catch (error) {
            expectations.settle(key, expected);
            throw error;
          }
        }
        for (const slice of plan.remove) await removeSlice(slice);
      };
      const removeSlice = async (slice: V1EndpointSlice): Promise<void> => {
        const { namespace, name } = slice.metadata ?? {};
        await client.delete(resources.endpointSlices, { namespace, name: name! }).catch((error: unknown) => {
          if (codeOf(error) !== 'notFound') throw error;
        });
      };

      return {
        synced: [services.synced, pods.synced, nodes.synced, slices.synced],
        subscriptions: [
          services.onChange((change) => queue.add(keyOf(change.object))),
          watchServicePods(pods, services, (key) => queue.add(key)),
          slices.onChange(({ type, object }) => {
            const [service] = sliceService(object);
            if (service === undefined || object.metadata?.labels?.[managedByLabel] !== manager) return;
            if (type !== 'updated') expectations.settle(service, createdPod(keyOf(object)));
            queue.add(service);
          }),
        ],
        async reconcile(key) {
          const service = services.get(key);
          const own = slices
            .byIndex('service', key)
            .filter((slice) => slice.metadata?.labels?.[managedByLabel] === manager);
          if (service === undefined) {
            expectations.forget(key);
            for (const slice of own) await removeSlice(slice);
            return;
          }
          if (!service.spec?.selector || service.spec.type === 'ExternalName') return;
          if (!expectations.satisfied(key)) return; // its slices come through the informer and wake us
          const selected = selectedPods(service, pods.byIndex('namespace', service.metadata?.namespace ?? ''));
          const types = addressTypesOf(service);
          const meta = { labels: sliceLabels(service) };
          for (const type of types) {
            const groups = planGroups(service, selected, type, (name) => nodes.get(name));
            const existing = own.filter((slice) => slice.addressType === type && !slice.metadata?.deletionTimestamp);
            await apply(service, key, planSlices(type, groups, existing, meta));
          }
          for (const slice of own) if (!types.some((type) => type === slice.addressType)) await removeSlice(slice);
        },
      };
    },
  });
}

function sliceService(slice: V1EndpointSlice): readonly string[] {
  const name = slice.metadata?.labels?.[serviceNameLabel];
  return name === undefined ? [] : [`${slice.metadata?.namespace}/${name}`];
}

function sliceLabels(service: V1Service): Record<string, string> {
  return {
    ...service.metadata?.labels,
    [serviceNameLabel]: service.metadata?.name ?? '',
    [managedByLabel]: manager,
    ...(service.spec?.clusterIP === 'None' ? { [headlessLabel]: '' } : {}),
  };
}

function newSlice(service: V1Service, part: SlicePlan['create'][number], name: string): V1EndpointSlice {
  const { namespace } = service.metadata ?? {};
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name,
      generateName: `${service.metadata?.name}-`,
      ...(namespace ? { namespace } : {}),
      labels: sliceLabels(service),
      ownerReferences: [controllerReference(service, kind)],
    },
    ...part,
  };
}
