import type { V1Node, V1NodeSelectorRequirement, V1NodeSelectorTerm, V1Pod } from '@wherry/api';

/** Whether a value meets a requirement of a node selector (`Gt` and `Lt` compare whole numbers). */
export function meetsNodeRequirement(
  value: string | undefined,
  { operator, values = [] }: V1NodeSelectorRequirement,
): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
    case 'Lt': {
      if (value === undefined || !/^-?\d+$/.test(value) || !/^-?\d+$/.test(values[0] ?? '')) return false;
      const [left, right] = [BigInt(value), BigInt(values[0]!)];
      return operator === 'Gt' ? left > right : left < right;
    }
    default:
      return false;
  }
}

/** Whether a node matches one term: all its expressions and fields; a term without any matches nothing. */
export function matchesNodeTerm(node: V1Node, { matchExpressions, matchFields }: V1NodeSelectorTerm): boolean {
  if (!matchExpressions?.length && !matchFields?.length) return false;
  const labels = node.metadata?.labels ?? {};
  return (
    (matchExpressions ?? []).every((requirement) =>
      meetsNodeRequirement(Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined, requirement),
    ) &&
    (matchFields ?? []).every((requirement) =>
      meetsNodeRequirement(requirement.key === 'metadata.name' ? node.metadata?.name : undefined, requirement),
    )
  );
}

/** Whether a node is what the pod's `nodeSelector` and required node affinity ask for. */
export function matchesNodeAffinity(pod: V1Pod, node: V1Node): boolean {
  const labels = node.metadata?.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {}))
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => matchesNodeTerm(node, term));
}
