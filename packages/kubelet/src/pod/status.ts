import { timeText, type V1ContainerStatus, type V1Pod, type V1PodCondition, type V1PodStatus } from '@wherry/api';

import { type ContainerStateInput, containerStatusOf } from './container-state.ts';
import { readySandbox } from './plan.ts';
import { isSidecar, qosClassOf } from './resources.ts';

export interface StatusInput extends Omit<ContainerStateInput, 'initialised'> {
  readonly now: number;
  readonly startTime: number;
  readonly hostIps: readonly string[];
  /** A verdict that stands above what the containers say (eviction, deadline, rejection). */
  readonly verdict?: { readonly phase: 'Failed'; readonly reason: string; readonly message: string } | undefined;
}

/** The whole status of a pod as this node sees it. Pure. Conditions of others are not in it. */
export function podStatusOf(input: StatusInput): V1PodStatus {
  const { pod, observed, verdict } = input;
  const spec = pod.spec;
  const first = { ...input, initialised: false };
  const inits = (spec?.initContainers ?? []).map((container) => containerStatusOf(container, 'init', first));
  const initialised = incompleteInits(pod, inits).length === 0;
  const withInit = { ...input, initialised };
  const mains = (spec?.containers ?? []).map((container) => containerStatusOf(container, 'main', withInit));
  const ephemerals = (spec?.ephemeralContainers ?? []).map((container) =>
    containerStatusOf(container as never, 'ephemeral', withInit),
  );
  const phase = verdict?.phase ?? podPhase(pod, inits, mains);
  const ips = spec?.hostNetwork === true ? input.hostIps : (observed.sandboxes[0]?.ips ?? []);
  const known = ips.length > 0 ? ips : (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  const generation = pod.metadata?.generation;
  return {
    conditions: conditionsOf(input, phase, inits, mains),
    containerStatuses: mains,
    ...(ephemerals.length > 0 ? { ephemeralContainerStatuses: ephemerals } : {}),
    ...(input.hostIps[0] ? { hostIP: input.hostIps[0], hostIPs: input.hostIps.map((ip) => ({ ip })) } : {}),
    ...(inits.length > 0 ? { initContainerStatuses: inits } : {}),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    phase,
    ...(known[0] ? { podIP: known[0], podIPs: known.map((ip) => ({ ip })) } : {}),
    qosClass: qosClassOf(pod),
    ...(verdict ? { reason: verdict.reason, message: verdict.message } : {}),
    startTime: timeText(input.startTime),
  };
}

/** `status.phase` (upstream's getPhase). */
export function podPhase(pod: V1Pod, inits: readonly V1ContainerStatus[], mains: readonly V1ContainerStatus[]): string {
  const policy = pod.spec?.restartPolicy ?? 'Always';
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  let pendingInit = 0;
  for (const init of inits) {
    if (sidecars.has(init.name)) {
      if (init.started !== true && !init.state?.terminated && !init.lastState?.terminated) pendingInit++;
    } else if (init.state?.terminated) {
      if (init.state.terminated.exitCode !== 0 && policy === 'Never') return 'Failed';
      if (init.state.terminated.exitCode !== 0) pendingInit++;
    } else pendingInit++;
  }
  const began = mains.some(({ state, lastState }) => state?.running ?? state?.terminated ?? lastState?.terminated);
  if (pendingInit > 0 && !began) return 'Pending';
  let running = 0;
  let waiting = 0;
  let stopped = 0;
  let succeeded = 0;
  for (const { state, lastState } of mains) {
    if (state?.running) running++;
    else if (state?.terminated) {
      stopped++;
      if (state.terminated.exitCode === 0) succeeded++;
    } else if (lastState?.terminated) stopped++;
    else waiting++;
  }
  if (waiting > 0) return 'Pending';
  if (running > 0) return 'Running';
  if (stopped === 0) return 'Pending';
  const sidecarRuns = inits.some(({ name, state }) => sidecars.has(name) && state?.running);
  if (policy === 'Always' || sidecarRuns) return 'Running';
  if (succeeded === stopped) return 'Succeeded';
  return policy === 'Never' || mains.every(({ state }) => state?.terminated && policy === 'Never')
    ? 'Failed'
    : 'Running';
}

function incompleteInits(pod: V1Pod, inits: readonly V1ContainerStatus[]): string[] {
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  return inits
    .filter((init) => (sidecars.has(init.name) ? init.started !== true : init.state?.terminated?.exitCode !== 0))
    .map(({ name }) => name);
}

function conditionsOf(
  input: StatusInput,
  phase: string,
  inits: readonly V1ContainerStatus[],
  mains: readonly V1ContainerStatus[],
): V1PodCondition[] {
  const { pod, observed, ending } = input;
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const unready = [...inits.filter(({ name }) => sidecars.has(name)), ...mains]
    .filter(({ ready }) => !ready)
    .map(({ name }) => name);
  const incomplete = incompleteInits(pod, inits);
  const began = mains.some(({ state, lastState }) => state?.running ?? state?.terminated ?? lastState?.terminated);
  const containers = readiness(phase, unready);
  const networkReady = !ending && readySandbox(pod, observed) !== undefined;
  const make = (type: string, verdict: Verdict): V1PodCondition => condition(input, type, verdict);
  return [
    make('PodReadyToStartContainers', { status: networkReady }),
    make('Initialized', initialisation(phase, began ? [] : incomplete)),
    make('Ready', gated(pod, containers)),
    make('ContainersReady', containers),
    make('PodScheduled', { status: true }),
  ];
}

interface Verdict {
  readonly status: boolean;
  readonly reason?: string;
  readonly message?: string;
}

function condition({ pod, now }: StatusInput, type: string, { status, reason, message }: Verdict): V1PodCondition {
  const text = status ? 'True' : 'False';
  const old = pod.status?.conditions?.find((one) => one.type === type);
  const since = old?.status === text && old.lastTransitionTime ? old.lastTransitionTime : timeText(now);
  const generation = pod.metadata?.generation;
  return {
    lastTransitionTime: since,
    ...(message ? { message } : {}),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    ...(reason ? { reason } : {}),
    status: text,
    type,
  };
}

function initialisation(phase: string, incomplete: readonly string[]): Verdict {
  if (phase === 'Succeeded') return { status: true, reason: 'PodCompleted' };
  if (incomplete.length === 0) return { status: true };
  return {
    status: false,
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${incomplete.join(' ')}]`,
  };
}

function readiness(phase: string, unready: readonly string[]): Verdict {
  if (phase === 'Succeeded') return { status: false, reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: false, reason: 'PodFailed' };
  if (unready.length === 0) return { status: true };
  return {
    status: false,
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${unready.join(' ')}]`,
  };
}

function gated(pod: V1Pod, containers: Verdict): Verdict {
  if (!containers.status) return containers;
  const problems: string[] = [];
  for (const { conditionType } of pod.spec?.readinessGates ?? []) {
    const found = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (found === undefined)
      problems.push(`corresponding condition of pod readiness gate "${conditionType}" does not exist.`);
    else if (found.status !== 'True')
      problems.push(`the status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`);
  }
  if (problems.length === 0) return containers;
  return { status: false, reason: 'ReadinessGatesNotReady', message: problems.join(', ') };
}
