import { matchesNodeAffinity, tolerates, untoleratedTaint } from '@wherry/client';
import type { HostPort, NodeState, PodFacts } from './node-state.ts';
import type { AffinityState } from './pod-affinity.ts';
import { type SpreadState, spreadProblem } from './topology-spread.ts';

/** Why a node does not do. `final`: taking other pods away would not help (upstream: unresolvable). */
export interface Rejection {
  readonly reasons: readonly string[];
  readonly final: boolean;
}

/** What filters need beside the node; made once per attempt. */
export interface FilterState {
  readonly facts: PodFacts;
  readonly affinity: AffinityState | undefined;
  readonly spread: readonly SpreadState[];
}

const unschedulableTaint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** The first filter's verdict that is against the node, in upstream's order and words; `undefined`: it does. */
export function rejectionOf(state: NodeState, { facts, affinity, spread }: FilterState): Rejection | undefined {
  const { pod } = facts;
  const node = state.node!;
  if (node.spec?.unschedulable && !pod.spec?.tolerations?.some((t) => tolerates(t, unschedulableTaint)))
    return { reasons: ['node(s) were unschedulable'], final: true };
  if (pod.spec?.nodeName && pod.spec.nodeName !== state.name)
    return { reasons: ["node(s) didn't match the requested node name"], final: true };
  const taint = untoleratedTaint(node.spec?.taints, pod.spec?.tolerations, ['NoSchedule', 'NoExecute']);
  if (taint) return { reasons: [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`], final: true };
  if (!matchesNodeAffinity(pod, node))
    return { reasons: ["node(s) didn't match Pod's node affinity/selector"], final: true };
  if (facts.hostPorts.length > 0 && portsTaken(state, facts.hostPorts))
    return { reasons: ["node(s) didn't have free ports for the requested pod ports"], final: false };
  const lacking = insufficient(state, facts);
  if (lacking) return lacking;
  const skew = spreadProblem(state, spread);
  if (skew) return { reasons: [skew], final: skew.includes('missing') };
  return affinity ? affinityProblem(state, affinity) : undefined;
}

function portsTaken(state: NodeState, wanted: readonly HostPort[]): boolean {
  for (const { hostPorts } of state.pods.values())
    for (const used of hostPorts)
      for (const port of wanted)
        if (
          used.port === port.port &&
          used.protocol === port.protocol &&
          (used.address === port.address || used.address === '0.0.0.0' || port.address === '0.0.0.0')
        )
          return true;
  return false;
}

function insufficient(state: NodeState, facts: PodFacts): Rejection | undefined {
  const reasons: string[] = [];
  let final = false;
  const pods = state.allocatable.get('pods');
  if (pods !== undefined && state.pods.size + 1 > pods) reasons.push('Too many pods');
  for (const [name, amount] of facts.requests) {
    if (amount === 0) continue;
    const allocatable = state.allocatable.get(name) ?? 0;
    if (amount <= allocatable - (state.requested.get(name) ?? 0)) continue;
    reasons.push(`Insufficient ${name}`);
    final ||= amount > allocatable;
  }
  return reasons.length === 0 ? undefined : { reasons, final };
}

function affinityProblem(state: NodeState, affinity: AffinityState): Rejection | undefined {
  const labels = state.node?.metadata?.labels ?? {};
  for (const { key, domains } of affinity.wanted) {
    const value = labels[key];
    if (value === undefined || (!domains.has(value) && !affinity.firstOfGroup))
      return { reasons: ["node(s) didn't match pod affinity rules"], final: true };
  }
  for (const { key, domains } of affinity.avoided)
    if (labels[key] !== undefined && domains.has(labels[key]))
      return { reasons: ["node(s) didn't match pod anti-affinity rules"], final: false };
  for (const [key, domains] of affinity.refusing)
    if (labels[key] !== undefined && domains.has(labels[key]))
      return { reasons: ["node(s) didn't satisfy existing pods anti-affinity rules"], final: false };
  return undefined;
}
