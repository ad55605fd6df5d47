import { timeText, type V1Container, type V1ContainerState, type V1ContainerStatus, type V1Pod } from '@wherry/api';

import type { ContainerStatus } from '@wherry/runtime';
import { type ObservedPod, runsOf } from './labels.ts';
import type { ContainerHealth, ContainerSort } from './plan.ts';
import type { ShownImage } from './pod-observer.ts';

/** What the state of a container is made of, beside the pod. */
export interface ContainerStateInput {
  readonly pod: V1Pod;
  readonly observed: ObservedPod;
  readonly health: ReadonlyMap<string, ContainerHealth>;
  readonly busy: ReadonlySet<string>;
  readonly waiting: ReadonlyMap<string, { readonly reason: string; readonly message?: string | undefined }>;
  /** Termination messages by container id. */
  readonly messages: ReadonlyMap<string, string>;
  /** How to show an image, by its id. */
  readonly imageNames: ReadonlyMap<string, ShownImage>;
  /** `wherry` in `wherry://<id>`. */
  readonly runtimeName: string;
  readonly initialised: boolean;
  /** No container of the pod will run any more. */
  readonly ending: boolean;
}

/** `status.containerStatuses[]` of one container. */
export function containerStatusOf(
  container: V1Container,
  sort: ContainerSort,
  input: ContainerStateInput,
): V1ContainerStatus {
  const runs = runsOf(input.observed, container.name);
  const [newest, before] = runs;
  const old = previousStatus(input.pod, container.name, sort);
  const waiting = input.waiting.get(container.name);
  // A container that is being started (image, hook) is shown once its start is over, as upstream's is.
  const starting =
    newest?.state === 'created' ||
    (newest?.state === 'running' && input.busy.has(container.name) && !input.health.has(newest.id));
  const health = newest?.state === 'running' && !starting ? input.health.get(newest.id) : undefined;
  let state: V1ContainerState;
  let lastState: V1ContainerState = {};
  if (newest === undefined) {
    state = lostState(old, input) ?? { waiting: waiting ?? { reason: initialReason(sort, input) } };
    if (state.waiting) lastState = old?.lastState ?? {};
  } else if (newest.state === 'exited' && waiting && !input.ending) {
    state = { waiting };
    lastState = { terminated: terminatedState(newest, input) };
  } else if (starting || newest.state === 'unknown') {
    state = { waiting: waiting ?? { reason: before ? 'ContainerCreating' : initialReason(sort, input) } };
    if (before) lastState = { terminated: terminatedState(before, input) };
  } else {
    state =
      newest.state === 'running'
        ? { running: { startedAt: timeText(newest.startedAt ?? newest.createdAt) } }
        : { terminated: terminatedState(newest, input) };
    if (before?.state === 'exited') lastState = { terminated: terminatedState(before, input) };
    else if (old?.lastState?.terminated && old.restartCount === newest.metadata.attempt) lastState = old.lastState;
  }
  const shown = newest && input.imageNames.get(newest.imageId);
  const ended = state.terminated?.exitCode === 0 && sort === 'init' && container.restartPolicy !== 'Always';
  return {
    ...(container.resources?.requests && state.running ? { allocatedResources: container.resources.requests } : {}),
    ...(newest && !(starting && !before)
      ? { containerID: `${input.runtimeName}://${newest.id}` }
      : old?.containerID
        ? { containerID: old.containerID }
        : {}),
    image: shown?.image ?? container.image ?? '',
    imageID: shown?.imageID ?? newest?.imageId ?? old?.imageID ?? '',
    lastState,
    name: container.name,
    ready: ended || (health?.ready ?? false),
    ...(state.running ? { resources: container.resources ?? {} } : {}),
    restartCount: newest?.metadata.attempt ?? old?.restartCount ?? 0,
    started: health?.started ?? false,
    state,
    ...(container.volumeMounts && container.volumeMounts.length > 0
      ? { volumeMounts: container.volumeMounts.map(mountStatus) }
      : {}),
  };
}

function mountStatus(
  mount: NonNullable<V1Container['volumeMounts']>[number],
): NonNullable<V1ContainerStatus['volumeMounts']>[number] {
  const { mountPath, name, readOnly } = mount;
  if (!readOnly) return { mountPath, name };
  const enabled = mount.recursiveReadOnly === 'Enabled' || mount.recursiveReadOnly === 'IfPossible';
  return { mountPath, name, readOnly, recursiveReadOnly: enabled ? 'Enabled' : 'Disabled' };
}

function initialReason(sort: ContainerSort, { pod, initialised }: ContainerStateInput): string {
  const inits = pod.spec?.initContainers ?? [];
  return inits.length > 0 && (sort === 'init' || !initialised) ? 'PodInitializing' : 'ContainerCreating';
}

function previousStatus(pod: V1Pod, name: string, sort: ContainerSort): V1ContainerStatus | undefined {
  const { status } = pod;
  const list = {
    init: status?.initContainerStatuses,
    main: status?.containerStatuses,
    ephemeral: status?.ephemeralContainerStatuses,
  }[sort];
  return list?.find((one) => one.name === name);
}

/** The state of a container that the API knows to have run but the runtime has lost. */
function lostState(
  old: V1ContainerStatus | undefined,
  { pod, ending }: ContainerStateInput,
): V1ContainerState | undefined {
  if (old?.state?.terminated) return old.state;
  if (!old?.state?.running || (!ending && pod.spec?.restartPolicy === 'Always')) return undefined;
  const message = 'The container could not be located when the pod was terminated';
  return { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown', message } };
}

function terminatedState(
  run: ContainerStatus,
  { messages, runtimeName }: ContainerStateInput,
): NonNullable<V1ContainerState['terminated']> {
  const message = messages.get(run.id) ?? run.message;
  return {
    containerID: `${runtimeName}://${run.id}`,
    exitCode: run.exitCode ?? 137,
    ...(run.finishedAt === undefined
      ? { finishedAt: timeText(run.createdAt) }
      : { finishedAt: timeText(run.finishedAt) }),
    ...(message ? { message } : {}),
    reason: run.reason || (run.exitCode === 0 ? 'Completed' : 'Error'),
    startedAt: timeText(run.startedAt ?? run.createdAt),
  };
}
