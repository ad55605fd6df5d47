import { type ApiObject, quotaUsageOf, type V1ResourceQuota } from '@wherry/api';
import { equalJson, type Informer, type KubeObject, keyOf, resources, sharedIndexes } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import type { KindSource } from '../kinds.ts';
import { type CountedResource, countedBy, usedOf } from './usage.ts';

/** Keeps `status.used` of ResourceQuotas. Only resources that some quota counts are watched, from the first such quota on. */
export function resourceQuotaController(context: ControllerContext, kinds: KindSource): Controller {
  const { client, informers } = context;
  const indexes = { namespace: sharedIndexes.namespace };
  return defineController(context, {
    name: 'resourcequota-controller',
    kind: { apiVersion: 'v1', kind: 'ResourceQuota' },
    start({ queue }) {
      const quotas = informers.informer<V1ResourceQuota>(resources.resourceQuotas, { indexes });
      const counted = new Map<string, Informer<KubeObject>>();
      const subscriptions = [quotas.onChange(({ object }) => queue.add(keyOf(object)))];

      const wakeNamespace = (of: CountedResource, namespace: string | undefined): void => {
        for (const quota of quotas.byIndex('namespace', namespace ?? ''))
          if (Object.keys(quota.spec?.hard ?? {}).some((name) => sameResource(countedBy(name), of)))
            queue.add(keyOf(quota));
      };
      const usage = (of: CountedResource, object: KubeObject): unknown => quotaUsageOf(of, object as ApiObject);
      const watch = async (of: CountedResource): Promise<Informer<KubeObject> | undefined> => {
        const key = `${of.group}/${of.resource}`;
        const known = counted.get(key);
        if (known) return known;
        const kind = (await kinds()).find((one) => one.namespaced && sameResource(one, of));
        if (kind === undefined) return undefined;
        const { group, version, resource, namespaced } = kind;
        const informer = informers.informer<KubeObject>({ group, version, resource, namespaced }, { indexes });
        await informer.synced;
        // Another worker may have been here while we waited.
        const first = counted.get(key);
        if (first) return first;
        counted.set(key, informer);
        subscriptions.push(
          informer.onChange((change) => {
            const { object } = change;
            if (quotas.byIndex('namespace', object.metadata?.namespace ?? '').length === 0) return;
            if (change.type === 'updated' && equalJson(usage(of, change.previous), usage(of, object))) return;
            wakeNamespace(of, object.metadata?.namespace);
          }),
        );
        return informer;
      };

      return {
        synced: [quotas.synced],
        subscriptions,
        async reconcile(key) {
          const quota = quotas.get(key);
          if (quota === undefined || quota.metadata?.deletionTimestamp) return;
          const { hard = {} } = quota.spec ?? {};
          const objects = new Map<string, readonly ApiObject[]>();
          for (const name of Object.keys(hard)) {
            const of = countedBy(name);
            const informer = await watch(of);
            const own = informer?.byIndex('namespace', quota.metadata?.namespace ?? '') ?? [];
            objects.set(`${of.group}/${of.resource}`, own as readonly ApiObject[]);
          }
          const used = usedOf(quota, ({ group, resource }) => objects.get(`${group}/${resource}`) ?? []);
          if (equalJson(quota.status?.hard, hard) && equalJson(quota.status?.used, used)) return;
          const next = { ...quota, status: { hard, used } };
          await client.update<V1ResourceQuota>(resources.resourceQuotas, next, { subresource: 'status' });
        },
      };
    },
  });
}

function sameResource(a: CountedResource, b: CountedResource): boolean {
  return a.group === b.group && a.resource === b.resource;
}
