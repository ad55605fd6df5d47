import type { V1ContainerStatus, V1Pod } from '../../../generated/types.ts';
import type { ApiObject } from '../../kind.ts';
import { printer, type TypedBehaviour } from '../behaviour.ts';
import { ageColumn, nameColumn, orNone } from '../shared/columns.ts';
import { ageOf } from '../shared/duration.ts';

interface Summary {
  ready: number;
  total: number;
  reason: string;
  restarts: number;
  /** Of the last restart that is counted. */
  lastRestart: string | undefined;
}

function later(a: string | undefined, b: string | undefined): string | undefined {
  if (!a || !b) return a || b;
  return Date.parse(a) < Date.parse(b) ? b : a;
}

function terminatedText(state: {
  readonly reason?: string | undefined;
  signal?: number | undefined;
  exitCode: number;
}) {
  if (state.reason) return state.reason;
  return state.signal ? `Signal:${state.signal}` : `ExitCode:${state.exitCode}`;
}

function finishedAt(status: V1ContainerStatus): string | undefined {
  return status.lastState?.terminated?.finishedAt;
}

/** Goes through the init containers; gives whether the pod is still initialising, and sidecars' restarts. */
function summariseInit(pod: V1Pod, summary: Summary) {
  const declared = pod.spec?.initContainers ?? [];
  const sidecars = new Set(declared.filter((c) => c.restartPolicy === 'Always').map((c) => c.name));
  summary.total += sidecars.size;
  let sidecarRestarts = 0;
  let sidecarLast: string | undefined;
  const result = (initialising: boolean) => ({ initialising, sidecarRestarts, sidecarLast });
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const sidecar = sidecars.has(status.name);
    summary.restarts += status.restartCount;
    summary.lastRestart = later(summary.lastRestart, finishedAt(status));
    if (sidecar) {
      sidecarRestarts += status.restartCount;
      sidecarLast = later(sidecarLast, finishedAt(status));
    }
    const { terminated, waiting } = status.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecar && status.started) {
      if (status.ready) summary.ready += 1;
      continue;
    }
    if (terminated) summary.reason = `Init:${terminatedText(terminated)}`;
    else if (waiting?.reason && waiting.reason !== 'PodInitializing') summary.reason = `Init:${waiting.reason}`;
    else summary.reason = `Init:${index}/${declared.length}`;
    return result(true);
  }
  return result(false);
}

/** Goes through the ordinary containers, the last first: the first one's state wins. */
function summariseContainers(pod: V1Pod, summary: Summary): void {
  let running = false;
  for (const status of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    summary.restarts += status.restartCount;
    summary.lastRestart = later(summary.lastRestart, finishedAt(status));
    const state = status.state ?? {};
    if (state.waiting?.reason) summary.reason = state.waiting.reason;
    else if (state.terminated) summary.reason = terminatedText(state.terminated);
    else if (status.ready && state.running) {
      running = true;
      summary.ready += 1;
    }
  }
  if (summary.reason === 'Completed' && running) summary.reason = condition(pod, 'Ready') ? 'Running' : 'NotReady';
}

function condition(pod: V1Pod, type: string): boolean {
  return (pod.status?.conditions ?? []).some((c) => c.type === type && c.status === 'True');
}

/** READY, STATUS and RESTARTS of a pod, as `kubectl get pod` words them. */
export function podSummary(pod: V1Pod): Summary {
  const status = pod.status ?? {};
  const summary: Summary = {
    ready: 0,
    total: pod.spec?.containers?.length ?? 0,
    reason: status.reason || status.phase || '',
    restarts: 0,
    lastRestart: undefined,
  };
  for (const c of status.conditions ?? []) {
    if (c.type === 'PodScheduled' && c.reason === 'SchedulingGated') summary.reason = 'SchedulingGated';
  }
  const init = summariseInit(pod, summary);
  if (!init.initialising || condition(pod, 'Initialized')) {
    summary.restarts = init.sidecarRestarts;
    summary.lastRestart = init.sidecarLast;
    summariseContainers(pod, summary);
  }
  if (pod.metadata?.deletionTimestamp) {
    const finished = status.phase === 'Succeeded' || status.phase === 'Failed';
    if (status.reason === 'NodeLost') summary.reason = 'Unknown';
    else if (!finished) summary.reason = 'Terminating';
  }
  return summary;
}

function readinessGates(pod: V1Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return '<none>';
  return `${gates.filter((gate) => condition(pod, gate.conditionType)).length}/${gates.length}`;
}

function restartsText(summary: Summary, now: number): string {
  if (summary.restarts === 0 || !summary.lastRestart) return String(summary.restarts);
  return `${summary.restarts} (${ageOf(summary.lastRestart, now)} ago)`;
}

interface Row {
  readonly pod: V1Pod;
  readonly summary: Summary;
}

const rows = printer<Row>([
  { ...nameColumn, cell: ({ pod }) => pod.metadata?.name ?? '' },
  { name: 'Ready', cell: ({ summary }) => `${summary.ready}/${summary.total}` },
  { name: 'Status', cell: ({ summary }) => summary.reason },
  { name: 'Restarts', cell: ({ summary }, now) => restartsText(summary, now) },
  { ...ageColumn, cell: ({ pod }, now) => ageOf(pod.metadata?.creationTimestamp, now) },
  { name: 'IP', wide: true, cell: ({ pod }) => orNone(pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP) },
  { name: 'Node', wide: true, cell: ({ pod }) => orNone(pod.spec?.nodeName) },
  { name: 'Nominated Node', wide: true, cell: ({ pod }) => orNone(pod.status?.nominatedNodeName) },
  { name: 'Readiness Gates', wide: true, cell: ({ pod }) => readinessGates(pod) },
]);

/** The columns of `kubectl get pod`; the pod is summarised once a row. */
export const podPrinter: Pick<TypedBehaviour<V1Pod>, 'columns' | 'cells'> = {
  columns: rows.columns,
  cells: (object, now) => {
    const pod = object as V1Pod;
    return rows.cells!({ pod, summary: podSummary(pod) } as unknown as ApiObject, now);
  },
};
