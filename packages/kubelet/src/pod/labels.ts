import { createHash } from 'node:crypto';
import type { V1Container, V1Pod } from '@wherry/api';
import type { ContainerStatus, PodSandboxStatus } from '@wherry/runtime';

/** Labels and annotations by which a kubelet finds its own sandboxes and containers again (upstream's names). */
export const podLabels = {
  name: 'io.kubernetes.pod.name',
  namespace: 'io.kubernetes.pod.namespace',
  uid: 'io.kubernetes.pod.uid',
  container: 'io.kubernetes.container.name',
  hash: 'io.kubernetes.container.hash',
  restartCount: 'io.kubernetes.container.restartCount',
  terminationMessagePath: 'io.kubernetes.container.terminationMessagePath',
  terminationMessagePolicy: 'io.kubernetes.container.terminationMessagePolicy',
  gracePeriod: 'io.kubernetes.pod.terminationGracePeriod',
  /** Ours: the host file behind the termination message path. */
  terminationMessageFile: 'wherry.io/termination-message-file',
} as const;

/** The labels of a pod's sandbox and containers. */
export function labelsOfPod(pod: V1Pod): Record<string, string> {
  const { name = '', namespace = '', uid = '' } = pod.metadata ?? {};
  return { [podLabels.name]: name, [podLabels.namespace]: namespace, [podLabels.uid]: uid };
}

/** A short digest of what cannot change in a running container: its name and image. */
export function containerHash(container: Pick<V1Container, 'name' | 'image'>): string {
  return createHash('sha256')
    .update(JSON.stringify([container.name, container.image]))
    .digest('hex')
    .slice(0, 8);
}

/** The runtime's objects of one pod, newest first. */
export interface ObservedPod {
  readonly sandboxes: readonly PodSandboxStatus[];
  readonly containers: readonly ContainerStatus[];
}

/** Sorts what the runtime lists: by attempt, then by time. */
export function observedPod(
  sandboxes: readonly PodSandboxStatus[],
  containers: readonly ContainerStatus[],
): ObservedPod {
  const newer = (
    a: { metadata: { attempt: number }; createdAt: number },
    b: { metadata: { attempt: number }; createdAt: number },
  ): number => b.metadata.attempt - a.metadata.attempt || b.createdAt - a.createdAt;
  return { sandboxes: [...sandboxes].sort(newer), containers: [...containers].sort(newer) };
}

/** A container's runs, newest first. */
export function runsOf(observed: ObservedPod, name: string): readonly ContainerStatus[] {
  return observed.containers.filter((container) => container.metadata.name === name);
}
