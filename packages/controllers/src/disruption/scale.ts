import type {
  V1Deployment,
  V1OwnerReference,
  V1Pod,
  V1ReplicaSet,
  V1ReplicationController,
  V1StatefulSet,
} from '@wherry/api';
import { controllerOf, type InformerFactory, type KubeObject, resources } from '@wherry/client';

/** What the controllers of some pods want. */
export interface Scale {
  readonly replicas: number;
  /** Pods that nobody manages: they cannot be counted on. */
  readonly unmanaged: readonly V1Pod[];
  /** The first pod whose controller has no number of replicas (a Job, a DaemonSet). */
  readonly unscalable: V1Pod | undefined;
}

interface Scalable extends KubeObject {
  readonly spec?: { readonly replicas?: number | undefined } | undefined;
}

/** Finds the replicas that the controllers of pods want together, each controller counted once. */
export class ScaleFinder {
  readonly #deployments;
  readonly #sets: Readonly<Record<string, { get(key: string): Scalable | undefined }>>;
  readonly synced: readonly Promise<void>[];

  constructor(informers: InformerFactory) {
    const replicaSets = informers.informer<V1ReplicaSet>(resources.replicaSets);
    const statefulSets = informers.informer<V1StatefulSet>(resources.statefulSets);
    const controllers = informers.informer<V1ReplicationController>(resources.replicationControllers);
    this.#deployments = informers.informer<V1Deployment>(resources.deployments);
    this.#sets = {
      'apps/ReplicaSet': replicaSets,
      'apps/StatefulSet': statefulSets,
      '/ReplicationController': controllers,
    };
    this.synced = [this.#deployments, replicaSets, statefulSets, controllers].map(({ synced }) => synced);
  }

  of(pods: readonly V1Pod[]): Scale {
    const wanted = new Map<string, number>();
    const unmanaged: V1Pod[] = [];
    let unscalable: V1Pod | undefined;
    for (const pod of pods) {
      const reference = controllerOf(pod);
      if (reference === undefined) {
        unmanaged.push(pod);
        continue;
      }
      if (wanted.has(reference.uid)) continue;
      const controller = this.#find(reference, pod.metadata?.namespace);
      if (controller === undefined) unscalable ??= pod;
      else wanted.set(controller.metadata?.uid ?? '', controller.spec?.replicas ?? 1);
    }
    const replicas = [...wanted.values()].reduce((sum, each) => sum + each, 0);
    return { replicas, unmanaged, unscalable };
  }

  #find(reference: V1OwnerReference, namespace: string | undefined): Scalable | undefined {
    const group = reference.apiVersion.includes('/') ? reference.apiVersion.split('/')[0] : '';
    const set = this.#sets[`${group}/${reference.kind}`]?.get(`${namespace}/${reference.name}`);
    if (set === undefined || set.metadata?.uid !== reference.uid) return undefined;
    const above = controllerOf(set);
    if (above?.kind !== 'Deployment') return set;
    const deployment = this.#deployments.get(`${namespace}/${above.name}`);
    return deployment?.metadata?.uid === above.uid ? deployment : set;
  }
}
