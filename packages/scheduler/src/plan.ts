import type { V1Pod } from '@wherry/api';
import { type FilterState, type Rejection, rejectionOf } from './filters.ts';
import { factsOf, type NodeState } from './node-state.ts';
import { affinityState, type NamespaceLabels } from './pod-affinity.ts';
import { scoresOf } from './scores.ts';
import { spreadStates } from './topology-spread.ts';

/** Where a pod goes, or why nowhere in upstream's words. */
export type Placement =
  | { readonly fits: true; readonly node: string }
  | {
      readonly fits: false;
      /** `0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.` */
      readonly message: string;
      /** Nodes where it might help to take other pods away. */
      readonly candidates: readonly NodeState[];
    };

/** What the filters need to know for a pod, as things are now. */
export function filterStateOf(pod: V1Pod, nodes: readonly NodeState[], labelsOf: NamespaceLabels): FilterState {
  return {
    facts: factsOf(pod),
    affinity: affinityState(pod, nodes, labelsOf),
    spread: spreadStates(pod, nodes, 'DoNotSchedule'),
  };
}

/** Chooses the node for a pod among the known ones. Pure; ties go to the node with fewest pods, then by name. */
export function plan(pod: V1Pod, all: readonly NodeState[], labelsOf: NamespaceLabels = () => undefined): Placement {
  const nodes = all.filter((state) => state.node !== undefined);
  if (nodes.length === 0) return { fits: false, message: 'no nodes available to schedule pods', candidates: [] };
  const state = filterStateOf(pod, nodes, labelsOf);
  const rejections = new Map<NodeState, Rejection>();
  const fitting = nodes.filter((node) => {
    const rejection = rejectionOf(node, state);
    if (rejection) rejections.set(node, rejection);
    return rejection === undefined;
  });
  if (fitting.length === 0) {
    const reasons = [...rejections.values()].flatMap((rejection) => rejection.reasons);
    const candidates = nodes.filter((node) => !rejections.get(node)?.final);
    return { fits: false, message: unavailable(nodes.length, reasons), candidates };
  }
  if (fitting.length === 1) return { fits: true, node: fitting[0]!.name };
  const scores = scoresOf(state.facts, fitting, labelsOf);
  let best = 0;
  for (let index = 1; index < fitting.length; index++) {
    const difference = scores[index]! - scores[best]!;
    const fewer = fitting[index]!.pods.size - fitting[best]!.pods.size;
    const earlier = fitting[index]!.name < fitting[best]!.name;
    if (difference > 1e-9 || (Math.abs(difference) <= 1e-9 && (fewer < 0 || (fewer === 0 && earlier)))) best = index;
  }
  return { fits: true, node: fitting[best]!.name };
}

/** A pod that no node can take, whatever the nodes are like. */
export function refusal(problem: string, all: readonly NodeState[]): Placement {
  const nodes = all.filter(({ node }) => node !== undefined).length;
  if (nodes === 0) return { fits: false, message: 'no nodes available to schedule pods', candidates: [] };
  return { fits: false, message: `0/${nodes} nodes are available: ${problem}.`, candidates: [] };
}

/** What is added to the message of a pod that fits nowhere: `preemption: 0/2 nodes are available: …`. `reasons` are those of the candidates. */
export function preemptionMessage(nodes: number, candidates: number, reasons: readonly string[]): string {
  const helpless = Array.from({ length: nodes - candidates }, () => 'Preemption is not helpful for scheduling');
  return `preemption: ${unavailable(nodes, [...reasons, ...helpless])}`;
}

function unavailable(nodes: number, reasons: readonly string[]): string {
  return `0/${nodes} nodes are available: ${counted(reasons)}.`;
}

function counted(reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .map(([reason, count]) => `${count} ${reason}`)
    .sort()
    .join(', ');
}
