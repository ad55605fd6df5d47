import type { V1PersistentVolume, V1PersistentVolumeClaim, V1Pod } from '@wherry/api';
import { type KubeObject, keyOf, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';

const claimFinalizer = 'kubernetes.io/pvc-protection';
const volumeFinalizer = 'kubernetes.io/pv-protection';

/** Lets a deleted claim go when no pod uses it any more. */
export function claimProtectionController(context: ControllerContext): Controller {
  const { client, informers } = context;
  return defineController(context, {
    name: 'pvc-protection-controller',
    kind: { apiVersion: 'v1', kind: 'PersistentVolumeClaim' },
    start({ queue }) {
      const claims = informers.informer<V1PersistentVolumeClaim>(resources.persistentVolumeClaims);
      const pods = informers.informer<V1Pod>(resources.pods, { indexes: { claims: claimsOf } });
      return {
        synced: [claims.synced, pods.synced],
        subscriptions: [
          claims.onChange(({ object }) => queue.add(keyOf(object))),
          pods.onChange(({ type, object }) => {
            if (type === 'deleted') for (const claim of claimsOf(object)) queue.add(claim);
          }),
        ],
        async reconcile(key) {
          const claim = claims.get(key);
          // The kubelet starts no pod whose claim is being deleted: one without a node cannot begin to use it.
          const inUse = (): boolean => pods.byIndex('claims', key).some((pod) => pod.spec?.nodeName);
          const next = claim && protectedOr(claim, claimFinalizer, inUse);
          if (next) await client.update(resources.persistentVolumeClaims, next);
        },
      };
    },
  });
}

/** Lets a deleted volume go when it is not bound any more. */
export function volumeProtectionController(context: ControllerContext): Controller {
  const { client, informers } = context;
  return defineController(context, {
    name: 'pv-protection-controller',
    kind: { apiVersion: 'v1', kind: 'PersistentVolume' },
    start({ queue }) {
      const volumes = informers.informer<V1PersistentVolume>(resources.persistentVolumes);
      return {
        synced: [volumes.synced],
        subscriptions: [volumes.onChange(({ object }) => queue.add(keyOf(object)))],
        async reconcile(name) {
          const volume = volumes.get(name);
          const next = volume && protectedOr(volume, volumeFinalizer, () => volume.status?.phase === 'Bound');
          if (next) await client.update(resources.persistentVolumes, next);
        },
      };
    },
  });
}

/** The object with the finalizer put on (it lives) or taken off (deleted and unused); `undefined` when it is right. */
function protectedOr<T extends KubeObject>(object: T, finalizer: string, inUse: () => boolean): T | undefined {
  const { finalizers = [], deletionTimestamp } = object.metadata ?? {};
  const has = finalizers.includes(finalizer);
  if (deletionTimestamp === undefined)
    return has ? undefined : { ...object, metadata: { ...object.metadata, finalizers: [...finalizers, finalizer] } };
  if (!has || inUse()) return undefined;
  return { ...object, metadata: { ...object.metadata, finalizers: finalizers.filter((one) => one !== finalizer) } };
}

/** Index function: keys of the claims that a pod names, generic ephemeral volumes' (`<pod>-<volume>`) among them. */
function claimsOf(pod: V1Pod): readonly string[] {
  const { namespace, name } = pod.metadata ?? {};
  return (pod.spec?.volumes ?? []).flatMap((volume) => {
    const claim = volume.ephemeral ? `${name}-${volume.name}` : volume.persistentVolumeClaim?.claimName;
    return claim === undefined ? [] : [`${namespace}/${claim}`];
  });
}
