import type { V1Pod, V1PodDisruptionBudget } from '@wherry/api';
import { keyOf, matchesSelector, millisOf } from '@wherry/client';
import { rejectionOf } from './filters.ts';
import { factsOf, type NodeState, type PodFacts } from './node-state.ts';
import { filterStateOf } from './plan.ts';
import type { NamespaceLabels } from './pod-affinity.ts';

/** What preemption looks at. */
export interface PreemptionInput {
  readonly pod: V1Pod;
  /** All nodes; left as they were. */
  readonly nodes: readonly NodeState[];
  /** Nodes where fewer pods might help. */
  readonly candidates: readonly NodeState[];
  readonly labelsOf: NamespaceLabels;
  readonly budgetsIn: (namespace: string) => readonly V1PodDisruptionBudget[];
  /** The node that was made free for the pod before. */
  readonly nominated: string | undefined;
}

/** Whom to take away for a pod; or why that is no use, a reason for each candidate or one for all. */
export type Preemption =
  | { readonly kind: 'victims'; readonly node: string; readonly victims: readonly V1Pod[] }
  | { readonly kind: 'none'; readonly reasons: readonly string[] }
  | { readonly kind: 'refused'; readonly reason: string; readonly waits: boolean };

interface Candidate {
  readonly node: string;
  /** Most important first. */
  readonly victims: readonly V1Pod[];
  readonly violations: number;
}

const noVictims = 'No preemption victims found for incoming pod';

/** A pod's priority. */
export function priorityOf(pod: V1Pod): number {
  return pod.spec?.priority ?? 0;
}

/**
 * Looks for the node where the least has to go for a pod: pods of lower priority only, those that a
 * budget protects last. The order of preference among nodes is upstream's. Pure.
 */
export function planPreemption(input: PreemptionInput): Preemption {
  const { pod, nodes, candidates, nominated } = input;
  if (pod.spec?.preemptionPolicy === 'Never')
    return { kind: 'refused', reason: 'not eligible due to preemptionPolicy=Never', waits: false };
  const made = nodes.find(({ name }) => name === nominated);
  if (made && lowerPods(made, pod).some((facts) => facts.pod.metadata?.deletionTimestamp))
    return { kind: 'refused', reason: 'not eligible due to a terminating pod on the nominated node', waits: true };
  const found: Candidate[] = [];
  const reasons: string[] = [];
  for (const node of candidates) {
    const result = victimsOn(node, input);
    if ('victims' in result) found.push(result);
    else reasons.push(...result.reasons);
  }
  const best = found.sort(preference)[0];
  if (best === undefined) return { kind: 'none', reasons };
  return { kind: 'victims', node: best.node, victims: best.victims };
}

function lowerPods(node: NodeState, pod: V1Pod): PodFacts[] {
  return [...node.pods.values()].filter((facts) => priorityOf(facts.pod) < priorityOf(pod));
}

/** Takes all lower pods away, then gives back as many as still leave room, the most important first. */
function victimsOn(node: NodeState, input: PreemptionInput): Candidate | { readonly reasons: readonly string[] } {
  const { pod, nodes, labelsOf } = input;
  const lower = lowerPods(node, pod).sort((a, b) => importance(a.pod, b.pod));
  if (lower.length === 0) return { reasons: [noVictims] };
  const problem = (): readonly string[] | undefined => rejectionOf(node, filterStateOf(pod, nodes, labelsOf))?.reasons;
  for (const facts of lower) node.remove(keyOf(facts.pod));
  const victims = new Set<PodFacts>();
  let violations = 0;
  try {
    const left = problem();
    if (left) return { reasons: left };
    const protectedPods = violating(lower, input);
    for (const facts of [...protectedPods, ...lower.filter((one) => !protectedPods.includes(one))]) {
      node.add(facts);
      if (problem() === undefined) continue;
      node.remove(keyOf(facts.pod));
      victims.add(facts);
      if (protectedPods.includes(facts)) violations++;
    }
  } finally {
    for (const facts of lower) node.add(facts);
  }
  return {
    node: node.name,
    victims: lower.filter((facts) => victims.has(facts)).map((facts) => facts.pod),
    violations,
  };
}

/** Those whose removal, one after the other, goes beyond what a budget allows. */
function violating(pods: readonly PodFacts[], { budgetsIn }: PreemptionInput): PodFacts[] {
  const left = new Map<V1PodDisruptionBudget, number>();
  return pods.filter(({ pod: { metadata } }) => {
    let violates = false;
    for (const budget of budgetsIn(metadata?.namespace ?? '')) {
      if (!matchesSelector(metadata?.labels, budget.spec?.selector)) continue;
      // Its eviction is counted already.
      if (budget.status?.disruptedPods?.[metadata?.name ?? ''] !== undefined) continue;
      const rest = (left.get(budget) ?? budget.status?.disruptionsAllowed ?? 0) - 1;
      left.set(budget, rest);
      violates ||= rest < 0;
    }
    return violates;
  });
}

/** Orders pods by importance: higher priority, then the longer running. */
function importance(a: V1Pod, b: V1Pod): number {
  return priorityOf(b) - priorityOf(a) || startOf(a) - startOf(b);
}

function startOf(pod: V1Pod): number {
  return millisOf(pod.status?.startTime) ?? Number.MAX_SAFE_INTEGER;
}

/** Fewest violations, then the lowest highest priority, the smallest sum, the fewest, the youngest. */
function preference(a: Candidate, b: Candidate): number {
  const highest = ({ victims }: Candidate): number => (victims[0] ? priorityOf(victims[0]) : Number.NEGATIVE_INFINITY);
  // Shifted so that one more victim always weighs more, also with priorities below zero.
  const sum = ({ victims }: Candidate): number => victims.reduce((total, pod) => total + priorityOf(pod) + 2 ** 31, 0);
  const oldest = ({ victims }: Candidate): number =>
    Math.min(...victims.filter((pod) => victims[0] && priorityOf(pod) === priorityOf(victims[0])).map(startOf));
  return (
    a.violations - b.violations ||
    compare(highest(a), highest(b)) ||
    sum(a) - sum(b) ||
    a.victims.length - b.victims.length ||
    compare(oldest(b), oldest(a)) ||
    (a.node < b.node ? -1 : 1)
  );
}

/** Also right for two infinities, whose difference is no number. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** The facts of the pods that a node was made free for and that go before `pod`. */
export function nominatedBefore(
  pod: V1Pod,
  nominations: ReadonlyMap<string, { readonly pod: V1Pod; readonly node: string }>,
): { readonly facts: PodFacts; readonly node: string }[] {
  const own = keyOf(pod);
  return [...nominations]
    .filter(([key, nomination]) => key !== own && priorityOf(nomination.pod) >= priorityOf(pod))
    .map(([, nomination]) => ({ facts: factsOf(nomination.pod), node: nomination.node }));
}
