import type { V1Pod } from '@wherry/api';
import { matchesNodeTerm, tolerates } from '@wherry/client';
import type { NodeState, PodFacts } from './node-state.ts';
import { type NamespaceLabels, preferredAffinityScore } from './pod-affinity.ts';
import { spreadStates } from './topology-spread.ts';

/** Upstream's default weights of the score plug-ins. */
const weights = { taints: 3, nodeAffinity: 2, podAffinity: 2, spread: 2, fit: 1, balance: 1, images: 1 };

/** The score of each node for the pod, higher is better; all nodes passed the filters. */
export function scoresOf(facts: PodFacts, nodes: readonly NodeState[], labelsOf: NamespaceLabels): number[] {
  const { pod } = facts;
  const total = nodes.map(
    (node) =>
      weights.fit * leastAllocated(node, facts) +
      weights.balance * balanced(node, facts) +
      weights.images * imagesPresent(node, pod, nodes.length),
  );
  const add = (weight: number, parts: readonly number[]): void => {
    parts.forEach((part, index) => {
      total[index]! += weight * part;
    });
  };
  add(weights.taints, normalised(nodes.map((node) => -softTaints(node, pod))));
  add(weights.nodeAffinity, normalised(nodes.map((node) => preferredTerms(node, pod))));
  if (pod.spec?.affinity?.podAffinity || pod.spec?.affinity?.podAntiAffinity)
    add(weights.podAffinity, normalised(preferredAffinityScore(pod, nodes, labelsOf)));
  const soft = spreadStates(pod, nodes, 'ScheduleAnyway');
  if (soft.length > 0)
    add(
      weights.spread,
      normalised(
        nodes.map(
          ({ node }) =>
            -soft.reduce(
              (sum, { constraint, counts }) =>
                sum + (counts.get(node?.metadata?.labels?.[constraint.topologyKey] ?? '') ?? 0),
              0,
            ),
        ),
      ),
    );
  return total;
}

/** Maps to 0…100 by the spread between the lowest and the highest; all equal gives 0. */
function normalised(values: readonly number[]): number[] {
  const least = Math.min(...values);
  const most = Math.max(...values);
  return values.map((value) => (most === least ? 0 : ((value - least) * 100) / (most - least)));
}

function shares(state: NodeState, facts: PodFacts): { cpu: number; memory: number } {
  const part = (used: number, of: number | undefined): number => (of ? Math.min(used / of, 1) : 1);
  return {
    cpu: part(state.comparableCpu + facts.comparable.cpu, state.allocatable.get('cpu')),
    memory: part(state.comparableMemory + facts.comparable.memory, state.allocatable.get('memory')),
  };
}

function leastAllocated(state: NodeState, facts: PodFacts): number {
  const { cpu, memory } = shares(state, facts);
  return ((1 - cpu + (1 - memory)) / 2) * 100;
}

function balanced(state: NodeState, facts: PodFacts): number {
  const { cpu, memory } = shares(state, facts);
  return (1 - Math.abs(cpu - memory) / 2) * 100;
}

/** Present images count by size between 23 MB and 1000 MB a container (upstream's ImageLocality). */
function imagesPresent({ node }: NodeState, pod: V1Pod, nodes: number): number {
  if (nodes < 2) return 0;
  const sizes = new Map<string, number>();
  for (const { names, sizeBytes } of node?.status?.images ?? [])
    for (const name of names ?? []) sizes.set(name, sizeBytes ?? 0);
  const containers = pod.spec?.containers ?? [];
  let sum = 0;
  for (const { image = '' } of containers) sum += sizes.get(image) ?? sizes.get(`docker.io/library/${image}`) ?? 0;
  const least = 23e6;
  const most = 1000e6 * containers.length;
  return most === least ? 0 : (Math.min(Math.max(sum - least, 0), most - least) / (most - least)) * 100;
}

function softTaints({ node }: NodeState, pod: V1Pod): number {
  return (node?.spec?.taints ?? []).filter(
    (taint) => taint.effect === 'PreferNoSchedule' && !pod.spec?.tolerations?.some((t) => tolerates(t, taint)),
  ).length;
}

function preferredTerms({ node }: NodeState, pod: V1Pod): number {
  const terms = pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.reduce((sum, { preference, weight }) => sum + (matchesNodeTerm(node!, preference) ? weight : 0), 0);
}
