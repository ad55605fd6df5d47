import { timeText, type V1Node, type V1NodeCondition, type V1Pod, type V1Taint } from '@wherry/api';
import { equalJson, millisOf, tolerates } from '@wherry/client';

const key = (name: string): string => `node.kubernetes.io/${name}`;

/** Conditions that the kubelet reports and that become unknown when it falls silent. */
const reported = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];
const pressures = {
  MemoryPressure: 'memory-pressure',
  DiskPressure: 'disk-pressure',
  PIDPressure: 'pid-pressure',
  NetworkUnavailable: 'network-unavailable',
} as const;

/** Taints that this controller sets and takes away. */
const ours = new Set(
  [...Object.values(pressures), 'not-ready', 'unreachable', 'unschedulable'].flatMap((name) => [
    `${key(name)}:NoSchedule`,
    `${key(name)}:NoExecute`,
  ]),
);

/** The conditions of a node whose kubelet is silent; `undefined` when they say so already. Pure. */
export function silentConditions(node: V1Node, now: number): V1NodeCondition[] | undefined {
  const time = timeText(now);
  const conditions = node.status?.conditions ?? [];
  const next = conditions.map((condition) =>
    reported.includes(condition.type) && condition.status !== 'Unknown'
      ? {
          ...condition,
          status: 'Unknown',
          reason: 'NodeStatusUnknown',
          message: 'Kubelet stopped posting node status.',
          lastTransitionTime: time,
        }
      : condition,
  );
  if (!next.some(({ type }) => type === 'Ready'))
    next.push({
      type: 'Ready',
      status: 'Unknown',
      reason: 'NodeStatusNeverUpdated',
      message: 'Kubelet never posted node status.',
      lastHeartbeatTime: node.metadata?.creationTimestamp ?? time,
      lastTransitionTime: time,
    });
  return equalJson(next, conditions) ? undefined : next;
}

/** The taints that follow from a node's conditions and `unschedulable`; `undefined` when they are there. Pure. */
export function planTaints(node: V1Node, now: number): V1Taint[] | undefined {
  const statusOf = (type: string): string | undefined =>
    node.status?.conditions?.find((condition) => condition.type === type)?.status;
  const wanted: V1Taint[] = [];
  const ready = statusOf('Ready');
  const timeAdded = timeText(now);
  const trouble = ready === 'Unknown' ? 'unreachable' : ready === 'True' ? undefined : 'not-ready';
  if (trouble) {
    wanted.push({ key: key(trouble), effect: 'NoSchedule', timeAdded });
    // A node that has not reported yet evicts nobody.
    if (ready !== undefined) wanted.push({ key: key(trouble), effect: 'NoExecute', timeAdded });
  }
  for (const [type, name] of Object.entries(pressures))
    if (statusOf(type) === 'True') wanted.push({ key: key(name), effect: 'NoSchedule', timeAdded });
  if (node.spec?.unschedulable) wanted.push({ key: key('unschedulable'), effect: 'NoSchedule', timeAdded });
  const before = node.spec?.taints ?? [];
  const same = (a: V1Taint, b: V1Taint): boolean => a.key === b.key && a.effect === b.effect;
  const next = [
    ...before.filter((taint) => !ours.has(`${taint.key}:${taint.effect}`) || wanted.some((one) => same(one, taint))),
    ...wanted.filter((taint) => !before.some((one) => same(one, taint))),
  ];
  return equalJson(next, before) ? undefined : next;
}

/**
 * When a pod must leave its node because of NoExecute taints, ms since the epoch; `undefined`: it may
 * stay. `since` is when the pod's taints were first seen, for taints that do not say. Pure.
 */
export function evictionTime(pod: V1Pod, taints: readonly V1Taint[], since: number): number | undefined {
  let leave: number | undefined;
  for (const taint of taints) {
    if (taint.effect !== 'NoExecute') continue;
    const tolerations = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    const added = millisOf(taint.timeAdded) ?? since;
    if (tolerations.length === 0) return since;
    const bounded = tolerations.flatMap(({ tolerationSeconds }) => tolerationSeconds ?? []);
    if (bounded.length === 0) continue;
    const until = added + Math.max(0, Math.min(...bounded)) * 1000;
    leave = Math.min(leave ?? until, until);
  }
  return leave;
}
