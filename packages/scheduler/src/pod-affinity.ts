import type { Labels, V1LabelSelector, V1Pod, V1PodAffinityTerm } from '@wherry/api';
import { matchesSelector } from '@wherry/client';
import type { NodeState, PodFacts } from './node-state.ts';

/** Gives the labels of a namespace, for terms with a namespaceSelector. */
export type NamespaceLabels = (namespace: string) => Labels;

/** Whether `other` is meant by a term of `pod`. */
export function matchesTerm(pod: V1Pod, term: V1PodAffinityTerm, other: V1Pod, labelsOf: NamespaceLabels): boolean {
  const namespace = other.metadata?.namespace ?? '';
  const named = term.namespaces ?? [];
  const own = named.length === 0 && term.namespaceSelector === undefined;
  const right =
    (own ? namespace === pod.metadata?.namespace : named.includes(namespace)) ||
    (term.namespaceSelector !== undefined && matchesSelector(labelsOf(namespace) ?? {}, term.namespaceSelector));
  return right && matchesSelector(other.metadata?.labels, withLabelKeys(pod, term));
}

/** `matchLabelKeys` and `mismatchLabelKeys` as requirements, where the API server did not merge them (KEP-3633). */
function withLabelKeys(pod: V1Pod, term: V1PodAffinityTerm): V1LabelSelector | undefined {
  const { matchLabelKeys = [], mismatchLabelKeys = [], labelSelector } = term;
  if (labelSelector === undefined || (matchLabelKeys.length === 0 && mismatchLabelKeys.length === 0))
    return labelSelector;
  const labels = pod.metadata?.labels ?? {};
  const more = [
    ...matchLabelKeys.map((key) => ({ key, operator: 'In' })),
    ...mismatchLabelKeys.map((key) => ({ key, operator: 'NotIn' })),
  ].flatMap(({ key, operator }) => (labels[key] === undefined ? [] : [{ key, operator, values: [labels[key]] }]));
  return { ...labelSelector, matchExpressions: [...(labelSelector.matchExpressions ?? []), ...more] };
}

/** What the required (anti-)affinity of one pod means for each topology domain, computed once per attempt. */
export interface AffinityState {
  /** The pod's affinity terms, each with the domains that hold a match; `anywhere` when some pod matches at all. */
  readonly wanted: readonly { readonly key: string; readonly domains: ReadonlySet<string> }[];
  /** No pod matches any affinity term, and the pod matches its own: it may be the first of its group. */
  readonly firstOfGroup: boolean;
  readonly avoided: readonly { readonly key: string; readonly domains: ReadonlySet<string> }[];
  /** Domains whose pods refuse this one. */
  readonly refusing: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Computes the state; `undefined` when nothing about (anti-)affinity concerns the pod. */
export function affinityState(
  pod: V1Pod,
  nodes: readonly NodeState[],
  labelsOf: NamespaceLabels,
): AffinityState | undefined {
  const affinity = pod.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  const anti = pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  const refusers = nodes.filter((node) => node.antiAffine > 0);
  if (affinity.length === 0 && anti.length === 0 && refusers.length === 0) return undefined;
  const domainsOf = (term: V1PodAffinityTerm, matches: (facts: PodFacts) => boolean): Set<string> => {
    const domains = new Set<string>();
    for (const node of nodes) {
      const value = node.node?.metadata?.labels?.[term.topologyKey];
      if (value === undefined || domains.has(value)) continue;
      for (const facts of node.pods.values())
        if (matches(facts)) {
          domains.add(value);
          break;
        }
    }
    return domains;
  };
  // All affinity terms must be met by one and the same pod (upstream: `podMatchesAllAffinityTerms`).
  const matchesAll = ({ pod: other }: PodFacts): boolean =>
    affinity.every((term) => matchesTerm(pod, term, other, labelsOf));
  const wanted = affinity.map((term) => ({ key: term.topologyKey, domains: domainsOf(term, matchesAll) }));
  const avoided = anti.map((term) => ({
    key: term.topologyKey,
    domains: domainsOf(term, ({ pod: other }) => matchesTerm(pod, term, other, labelsOf)),
  }));
  const firstOfGroup =
    wanted.every(({ domains }) => domains.size === 0) &&
    affinity.every((term) => matchesTerm(pod, term, pod, labelsOf));
  return { wanted, firstOfGroup, avoided, refusing: refusingDomains(pod, refusers, labelsOf) };
}

function refusingDomains(
  pod: V1Pod,
  refusers: readonly NodeState[],
  labelsOf: NamespaceLabels,
): Map<string, Set<string>> {
  const refusing = new Map<string, Set<string>>();
  for (const node of refusers)
    for (const { pod: other, requiredAntiAffinity } of node.pods.values()) {
      if (!requiredAntiAffinity) continue;
      for (const term of other.spec!.affinity!.podAntiAffinity!.requiredDuringSchedulingIgnoredDuringExecution!) {
        const value = node.node?.metadata?.labels?.[term.topologyKey];
        if (value === undefined || !matchesTerm(other, term, pod, labelsOf)) continue;
        const domains = refusing.get(term.topologyKey);
        if (domains) domains.add(value);
        else refusing.set(term.topologyKey, new Set([value]));
      }
    }
  return refusing;
}

/** Sum of the weights of preferred terms that a node meets: affinity counts for, anti-affinity against it. */
export function preferredAffinityScore(pod: V1Pod, nodes: readonly NodeState[], labelsOf: NamespaceLabels): number[] {
  const terms = [
    ...(pod.spec?.affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(pod.spec?.affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((term) => ({
      ...term,
      weight: -term.weight,
    })),
  ];
  const scores = nodes.map(() => 0);
  for (const { podAffinityTerm, weight } of terms) {
    const counts = new Map<string, number>();
    for (const node of nodes) {
      const value = node.node?.metadata?.labels?.[podAffinityTerm.topologyKey];
      if (value === undefined) continue;
      for (const { pod: other } of node.pods.values())
        if (matchesTerm(pod, podAffinityTerm, other, labelsOf)) counts.set(value, (counts.get(value) ?? 0) + weight);
    }
    nodes.forEach((node, index) => {
      scores[index]! += counts.get(node.node?.metadata?.labels?.[podAffinityTerm.topologyKey] ?? '') ?? 0;
    });
  }
  return scores;
}
