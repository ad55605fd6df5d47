import type { V1Pod, V1PodTemplateSpec } from '@wherry/api';
import { codeOf, messageOf, type Random } from '@wherry/base';
import {
  type ApiClient,
  type EventRecorder,
  type Informer,
  type KubeObject,
  keyOf,
  type OwnerKind,
  resources,
} from '@wherry/client';
import { createdPod, deletedPod, type Expectations } from './expectations.ts';
import { podFromTemplate } from './pod-from-template.ts';

/** Creates and deletes pods for owners of one kind, with Events and expectations. */
export interface PodControl {
  /** `draft` may change the pod before it is created. */
  create(
    owner: KubeObject,
    template: V1PodTemplateSpec | undefined,
    options?: { name?: string; draft?: (pod: V1Pod) => void },
  ): Promise<V1Pod>;
  delete(owner: KubeObject, pod: V1Pod): Promise<void>;
}

/** Makes the control for one controller. */
export function createPodControl(parts: {
  readonly client: ApiClient;
  readonly random: Random;
  readonly events: EventRecorder;
  readonly kind: OwnerKind;
  readonly expectations: Expectations;
}): PodControl {
  const { client, random, events, kind, expectations } = parts;
  return {
    async create(owner, template, { name, draft } = {}) {
      const pod = podFromTemplate(template, owner, kind, { random, ...(name === undefined ? {} : { name }) });
      draft?.(pod);
      const ownerKey = keyOf(owner);
      const expected = createdPod(keyOf(pod));
      expectations.expect(ownerKey, expected);
      try {
        const created = await client.create<V1Pod>(resources.pods, pod);
        events.event(owner, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata?.name}`);
        return created;
      } catch (error) {
        expectations.settle(ownerKey, expected);
        // In a namespace that is being deleted, or with the name already taken, there is nothing to report.
        if (!namespaceEnds(error) && codeOf(error) !== 'alreadyExists')
          events.event(owner, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`);
        throw error;
      }
    },
    async delete(owner, pod) {
      const { namespace, name, uid } = pod.metadata ?? {};
      const ownerKey = keyOf(owner);
      const expected = deletedPod(keyOf(pod), uid);
      expectations.expect(ownerKey, expected);
      try {
        await client.delete(
          resources.pods,
          { namespace, name: name! },
          uid === undefined ? {} : { preconditions: { uid } },
        );
        events.event(owner, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
      } catch (error) {
        expectations.settle(ownerKey, expected);
        if (codeOf(error) === 'notFound' || codeOf(error) === 'conflict') return; // that pod is gone already
        events.event(owner, 'Warning', 'FailedDelete', `Error deleting: ${messageOf(error)}`);
        throw error;
      }
    },
  };
}

/** Whether a creation failed because the namespace is being deleted (Status cause `NamespaceTerminating`). */
export function namespaceEnds(error: unknown): boolean {
  const status = (error as { details?: { status?: { details?: { causes?: { reason?: string }[] } } } }).details?.status;
  return status?.details?.causes?.some(({ reason }) => reason === 'NamespaceTerminating') ?? false;
}

/**
 * Subscribes to pods: settles expectations and names the owners to look at again. `owners` gives the
 * keys that an orphan may concern.
 */
export function watchPods(
  pods: Informer<V1Pod>,
  parts: {
    readonly ownerOf: (pod: V1Pod) => string | undefined;
    readonly candidates?: (pod: V1Pod) => readonly string[];
    readonly expectations: Expectations;
    readonly add: (key: string) => void;
  },
): Disposable {
  const { ownerOf, candidates, expectations, add } = parts;
  const look = (pod: V1Pod): void => {
    const owner = ownerOf(pod);
    if (owner !== undefined) add(owner);
    else if (!pod.metadata?.ownerReferences?.some(({ controller }) => controller))
      for (const key of candidates?.(pod) ?? []) add(key);
  };
  return pods.onChange((change) => {
    const { object: pod } = change;
    const key = keyOf(pod);
    const owner = ownerOf(pod);
    if (owner !== undefined) {
      if (change.type === 'added') expectations.settle(owner, createdPod(key));
      if (change.type === 'deleted') expectations.settle(owner, createdPod(key));
      if (change.type === 'deleted' || pod.metadata?.deletionTimestamp)
        expectations.settle(owner, deletedPod(key, pod.metadata?.uid));
    }
    look(pod);
    if (change.type === 'updated') {
      const before = ownerOf(change.previous);
      if (before !== undefined && before !== owner) add(before);
    }
  });
}
