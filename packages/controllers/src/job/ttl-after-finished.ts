import type { V1Job } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { keyOf, millisOf, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { finalCondition } from './plan.ts';

/** Deletes finished Jobs after their `ttlSecondsAfterFinished` (KEP-592). */
export function ttlAfterFinishedController(context: ControllerContext): Controller {
  const { client, informers, clock } = context;
  return defineController(context, {
    name: 'ttl-after-finished-controller',
    kind: { apiVersion: 'batch/v1', kind: 'Job' },
    start({ queue }) {
      const jobs = informers.informer<V1Job>(resources.jobs);
      return {
        synced: [jobs.synced],
        subscriptions: [
          jobs.onChange(({ type, object }) => {
            if (type !== 'deleted' && object.spec?.ttlSecondsAfterFinished !== undefined) queue.add(keyOf(object));
          }),
        ],
        async reconcile(key) {
          const job = jobs.get(key);
          const ttl = job?.spec?.ttlSecondsAfterFinished;
          const finished = job && millisOf(finalCondition(job)?.lastTransitionTime);
          if (job === undefined || ttl === undefined || finished === undefined || job.metadata?.deletionTimestamp)
            return undefined;
          const left = finished + ttl * 1000 - clock.now();
          if (left > 0) return { after: left };
          const { namespace, name, uid, resourceVersion } = job.metadata ?? {};
          const preconditions = { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) };
          try {
            await client.delete(
              resources.jobs,
              { namespace, name: name! },
              { propagationPolicy: 'Foreground', preconditions },
            );
          } catch (error) {
            if (codeOf(error) !== 'notFound') throw error;
          }
          return undefined;
        },
      };
    },
  });
}
