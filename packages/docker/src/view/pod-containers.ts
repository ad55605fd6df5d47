import type { ContainerStatus } from '@wherry/runtime';
import type { Filters, JsonObject } from '../containers/containers.ts';
import type { DockerContext } from '../containers/context.ts';
import { humanDuration } from '../times.ts';
import { hasLabel, type ListScope } from './filters.ts';

/** The label by which kubelets name a container's pod; to ask for it is to ask for pods' containers. */
const podLabel = 'io.kubernetes.pod.name';

/** Filters that mean something for a container that docker has not made. */
const understood = new Set(['label', 'label!', 'id', 'status']);

/**
 * Containers of pods, newest first, for who filters by the label of a pod's name: else `docker ps` does not show them.
 * They have no settings of docker's: name and labels are as a kubelet above docker gave them.
 */
export async function listPodContainers(
  { engine, registry, clock }: DockerContext,
  filters: Filters,
  scope: ListScope,
): Promise<JsonObject[]> {
  const labels = filters.get('label') ?? [];
  if (!labels.some((label) => label === podLabel || label.startsWith(`${podLabel}=`))) return [];
  if ([...filters.keys()].some((name) => !understood.has(name))) return [];
  const own = new Set(registry.all().map(({ id }) => id));
  const all = scope.all || filters.has('status');
  const matches = (status: ContainerStatus): boolean =>
    !own.has(status.id) &&
    (all || status.state === 'running') &&
    labels.every((label) => hasLabel(status.labels, label)) &&
    !(filters.get('label!') ?? []).some((label) => hasLabel(status.labels, label)) &&
    (filters.get('id')?.some((id) => status.id.startsWith(id)) ?? true) &&
    (filters.get('status')?.includes(status.state) ?? true);
  const found = (await engine.listContainers()).filter(matches);
  return found.sort((one, other) => other.createdAt - one.createdAt).map((status) => summaryOf(status, clock.now()));
}

function summaryOf(status: ContainerStatus, now: number): JsonObject {
  return {
    Id: status.id,
    Names: [`/${nameOf(status)}`],
    Image: status.image,
    ImageID: status.imageId,
    Command: '',
    Created: Math.floor(status.createdAt / 1000),
    Ports: [],
    Labels: status.labels,
    State: status.state,
    Status: wordsOf(status, now),
    HostConfig: { NetworkMode: 'none' },
    NetworkSettings: { Networks: {} },
    Mounts: [],
  };
}

/** `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`, as kubelets named containers of docker's. */
function nameOf({ metadata, labels }: ContainerStatus): string {
  const of = (key: string): string => labels[`io.kubernetes.pod.${key}`] ?? '';
  return ['k8s', metadata.name, of('name'), of('namespace'), of('uid'), metadata.attempt].join('_');
}

function wordsOf({ state, startedAt, finishedAt, exitCode }: ContainerStatus, now: number): string {
  const since = (time: number | undefined): string => humanDuration(Math.max(0, now - (time ?? now)));
  if (state === 'running') return `Up ${since(startedAt)}`;
  return state === 'exited' ? `Exited (${exitCode ?? 0}) ${since(finishedAt)} ago` : 'Created';
}
