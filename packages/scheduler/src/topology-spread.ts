import type { V1LabelSelector, V1Pod, V1TopologySpreadConstraint } from '@wherry/api';
import { matchesNodeAffinity, matchesSelector, untoleratedTaint } from '@wherry/client';
import type { NodeState } from './node-state.ts';

/** How many matching pods each domain of one constraint holds. */
export interface SpreadState {
  readonly constraint: V1TopologySpreadConstraint;
  readonly counts: ReadonlyMap<string, number>;
  readonly least: number;
  /** 1 when the pod itself matches the selector. */
  readonly self: number;
}

/** The counts for the pod's constraints of one kind (`DoNotSchedule` or `ScheduleAnyway`), as KEP-895 defines them. */
export function spreadStates(pod: V1Pod, nodes: readonly NodeState[], kind: string): SpreadState[] {
  const constraints = (pod.spec?.topologySpreadConstraints ?? []).filter((c) => c.whenUnsatisfiable === kind);
  return constraints.map((constraint) => {
    const selector = spreadSelector(pod, constraint);
    const counts = new Map<string, number>();
    for (const state of nodes) {
      const domain = state.node?.metadata?.labels?.[constraint.topologyKey];
      if (domain === undefined || !counted(pod, state, constraint)) continue;
      let count = counts.get(domain) ?? 0;
      for (const { pod: other } of state.pods.values())
        if (
          other.metadata?.namespace === pod.metadata?.namespace &&
          other.metadata?.deletionTimestamp === undefined &&
          matchesSelector(other.metadata?.labels, selector)
        )
          count++;
      counts.set(domain, count);
    }
    const enough = counts.size >= (constraint.minDomains ?? 1);
    return {
      constraint,
      counts,
      least: enough ? Math.min(...counts.values()) : 0,
      self: matchesSelector(pod.metadata?.labels, selector) ? 1 : 0,
    };
  });
}

function spreadSelector(
  pod: V1Pod,
  { labelSelector, matchLabelKeys }: V1TopologySpreadConstraint,
): V1LabelSelector | undefined {
  if (!labelSelector || !matchLabelKeys?.length) return labelSelector;
  const labels = pod.metadata?.labels ?? {};
  const more = matchLabelKeys.flatMap((key) =>
    labels[key] === undefined ? [] : [{ key, operator: 'In', values: [labels[key]] }],
  );
  return { ...labelSelector, matchExpressions: [...(labelSelector.matchExpressions ?? []), ...more] };
}

/** KEP-3094: by default nodes that the pod's affinity excludes do not count; tainted ones do. */
function counted(pod: V1Pod, state: NodeState, constraint: V1TopologySpreadConstraint): boolean {
  if (constraint.nodeAffinityPolicy !== 'Ignore' && !matchesNodeAffinity(pod, state.node!)) return false;
  return (
    constraint.nodeTaintsPolicy !== 'Honor' ||
    untoleratedTaint(state.node!.spec?.taints, pod.spec?.tolerations, ['NoSchedule', 'NoExecute']) === undefined
  );
}

/** Why a node breaks a constraint, or `undefined`. */
export function spreadProblem(state: NodeState, states: readonly SpreadState[]): string | undefined {
  for (const { constraint, counts, least, self } of states) {
    const domain = state.node?.metadata?.labels?.[constraint.topologyKey];
    if (domain === undefined) return "node(s) didn't match pod topology spread constraints (missing required label)";
    if ((counts.get(domain) ?? 0) + self - least > constraint.maxSkew)
      return "node(s) didn't match pod topology spread constraints";
  }
  return undefined;
}
