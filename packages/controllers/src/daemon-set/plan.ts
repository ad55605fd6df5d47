import {
  scaledValue,
  type V1DaemonSet,
  type V1Node,
  type V1NodeAffinity,
  type V1Pod,
  type V1PodSpec,
  type V1Toleration,
} from '@wherry/api';
import { matchesNodeAffinity, tolerates } from '@wherry/client';
import { isAvailable, isFinished } from '../pods/pod-facts.ts';
import { revisionHashLabel } from '../revisions.ts';

const exists = (key: string, effect: string): V1Toleration => ({
  key: `node.kubernetes.io/${key}`,
  operator: 'Exists',
  effect,
});

/** What every daemon pod tolerates (upstream's `AddOrUpdateDaemonPodTolerations`). */
export function daemonTolerations(spec: V1PodSpec): V1Toleration[] {
  const added = [
    exists('not-ready', 'NoExecute'),
    exists('unreachable', 'NoExecute'),
    exists('disk-pressure', 'NoSchedule'),
    exists('memory-pressure', 'NoSchedule'),
    exists('pid-pressure', 'NoSchedule'),
    exists('unschedulable', 'NoSchedule'),
    ...(spec.hostNetwork ? [exists('network-unavailable', 'NoSchedule')] : []),
  ];
  const own = spec.tolerations ?? [];
  const same = (a: V1Toleration, b: V1Toleration): boolean =>
    a.key === b.key && a.effect === b.effect && a.operator === b.operator && (a.value ?? '') === (b.value ?? '');
  return [...own, ...added.filter((toleration) => !own.some((other) => same(other, toleration)))];
}

/** Node affinity that leaves the scheduler one node; other required terms are replaced, they were checked here. */
export function affinityTo(node: string, before: V1NodeAffinity | undefined): V1NodeAffinity {
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [node] }];
  return { ...before, requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields }] } };
}

/** The node that a daemon pod is for: where it is, or where its affinity sends it. */
export function nodeOfPod(pod: V1Pod): string | undefined {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required?.nodeSelectorTerms.flatMap(({ matchFields }) => matchFields ?? [])[0]?.values?.[0];
}

/** Whether a node should run the daemon, and whether a pod that is there may stay. Pure. */
export function fits(set: V1DaemonSet, node: V1Node): { readonly run: boolean; readonly stay: boolean } {
  const spec = set.spec!.template.spec!;
  if ((spec.nodeName && spec.nodeName !== node.metadata?.name) || !matchesNodeAffinity({ spec }, node))
    return { run: false, stay: false };
  const tolerations = daemonTolerations(spec);
  const untolerated = (node.spec?.taints ?? []).filter(
    (taint) => taint.effect !== 'PreferNoSchedule' && !tolerations.some((one) => tolerates(one, taint)),
  );
  return { run: untolerated.length === 0, stay: !untolerated.some(({ effect }) => effect === 'NoExecute') };
}

/** What to do on the nodes. */
export interface DaemonPlan {
  readonly create: readonly string[];
  readonly remove: readonly V1Pod[];
  /** Ended pods that are deleted so that they can be replaced. */
  readonly failed: readonly V1Pod[];
}

/** Where pods are missing or superfluous, and which must give way to the new template. Pure. */
export function planDaemons(
  set: V1DaemonSet,
  nodes: readonly V1Node[],
  pods: readonly V1Pod[],
  hash: string,
  now: number,
): DaemonPlan {
  const byNode = groupByNode(pods);
  const create: string[] = [];
  const remove: V1Pod[] = [];
  const failed: V1Pod[] = [];
  let wanted = 0;
  let unavailable = 0;
  const outdated: V1Pod[] = [];
  const minReady = set.spec?.minReadySeconds ?? 0;
  for (const node of nodes) {
    const name = node.metadata?.name ?? '';
    const all = byNode.get(name) ?? [];
    byNode.delete(name);
    const { run, stay } = fits(set, node);
    const living = all.filter((pod) => pod.metadata?.deletionTimestamp === undefined);
    const ended = living.filter(isFinished);
    const current = living.filter((pod) => !isFinished(pod));
    if (run) wanted++;
    if (!stay) {
      remove.push(...living);
      continue;
    }
    failed.push(...ended.filter((pod) => pod.status?.phase === 'Failed'));
    if (!run) continue;
    const ordered = [...current].sort(
      (a, b) => Number(!a.spec?.nodeName) - Number(!b.spec?.nodeName) || ageOrder(a, b),
    );
    remove.push(...ordered.slice(1));
    const [pod] = ordered;
    // A pod that is still ending holds the place: its successor comes when it is gone.
    if (pod === undefined && all.length === 0) create.push(name);
    const available = pod !== undefined && isAvailable(pod, minReady, now);
    if (!available) unavailable++;
    if (pod && pod.metadata?.labels?.[revisionHashLabel] !== hash) outdated.push(pod);
  }
  for (const pods of byNode.values()) remove.push(...pods.filter((pod) => !pod.metadata?.deletionTimestamp));
  if (set.spec?.updateStrategy?.type !== 'OnDelete')
    remove.push(...toReplace(set, outdated, wanted, unavailable, minReady, now));
  return { create, remove, failed };
}

function toReplace(
  set: V1DaemonSet,
  outdated: readonly V1Pod[],
  wanted: number,
  unavailable: number,
  minReady: number,
  now: number,
): V1Pod[] {
  const { maxUnavailable = 1 } = set.spec?.updateStrategy?.rollingUpdate ?? {};
  const most = Math.max(1, scaledValue(maxUnavailable, wanted, true));
  const broken = outdated.filter((pod) => !isAvailable(pod, minReady, now));
  const healthy = outdated.filter((pod) => isAvailable(pod, minReady, now));
  return [...broken, ...healthy.slice(0, Math.max(0, most - unavailable))];
}

function groupByNode(pods: readonly V1Pod[]): Map<string, V1Pod[]> {
  const byNode = new Map<string, V1Pod[]>();
  for (const pod of pods) {
    const name = nodeOfPod(pod) ?? '';
    const group = byNode.get(name);
    if (group) group.push(pod);
    else byNode.set(name, [pod]);
  }
  return byNode;
}

function ageOrder(a: V1Pod, b: V1Pod): number {
  return (a.metadata?.creationTimestamp ?? '') < (b.metadata?.creationTimestamp ?? '') ? -1 : 1;
}
