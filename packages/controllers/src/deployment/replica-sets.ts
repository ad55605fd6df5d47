import type { V1Deployment, V1PodTemplateSpec, V1ReplicaSet } from '@wherry/api';
import { equalJson, millisOf } from '@wherry/client';

/** Label that tells the ReplicaSets (and pods) of a Deployment apart. */
export const hashLabel = 'pod-template-hash';
export const revisionKey = 'deployment.kubernetes.io/revision';
const historyKey = 'deployment.kubernetes.io/revision-history';
const desiredKey = 'deployment.kubernetes.io/desired-replicas';
const mostKey = 'deployment.kubernetes.io/max-replicas';

/** Annotations of the Deployment that its ReplicaSets do not take over. */
const own = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  revisionKey,
  historyKey,
  desiredKey,
  mostKey,
  'deprecated.deployment.rollback.to',
]);

/** The number of a ReplicaSet's or Deployment's revision; 0 when it has none. */
export function revisionOf(object: { readonly metadata?: V1ReplicaSet['metadata'] }): number {
  const value = Number(object.metadata?.annotations?.[revisionKey] ?? 0);
  return Number.isSafeInteger(value) ? value : 0;
}

/** The template without the label that the controller adds. */
export function plainTemplate(template: V1PodTemplateSpec | undefined): V1PodTemplateSpec {
  const { [hashLabel]: _, ...labels } = template?.metadata?.labels ?? {};
  return { ...template, metadata: { ...template?.metadata, labels } };
}

function byAge(a: V1ReplicaSet, b: V1ReplicaSet): number {
  const [left, right] = [a, b].map((set) => millisOf(set.metadata?.creationTimestamp) ?? 0) as [number, number];
  return left - right || ((a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1);
}

/** The ReplicaSet of the current template (the oldest, if there are several), and the others, oldest first. */
export function newAndOld(
  deployment: V1Deployment,
  sets: readonly V1ReplicaSet[],
): { readonly current: V1ReplicaSet | undefined; readonly old: readonly V1ReplicaSet[] } {
  const wanted = plainTemplate(deployment.spec?.template);
  const sorted = [...sets].sort(byAge);
  const current = sorted.find((set) => equalJson(plainTemplate(set.spec?.template), wanted));
  return { current, old: sorted.filter((set) => set !== current) };
}

/** Numbers that the annotations of a ReplicaSet keep for proportional scaling. */
export function desiredOf(set: V1ReplicaSet): number | undefined {
  const value = set.metadata?.annotations?.[desiredKey];
  return value === undefined ? undefined : Number(value);
}
export function mostOf(set: V1ReplicaSet): number | undefined {
  const value = set.metadata?.annotations?.[mostKey];
  return value === undefined ? undefined : Number(value);
}

/** The annotations for proportional scaling. */
export function sizeAnnotations(desired: number, most: number): Record<string, string> {
  return { [desiredKey]: String(desired), [mostKey]: String(most) };
}

/** The annotations that the new ReplicaSet should have: the Deployment's, and its revision with the former ones. */
export function newSetAnnotations(
  deployment: V1Deployment,
  set: V1ReplicaSet | undefined,
  old: readonly V1ReplicaSet[],
): Record<string, string> {
  const revision = Math.max(0, ...old.map(revisionOf)) + 1;
  const before = set?.metadata?.annotations ?? {};
  const annotations: Record<string, string> = { ...before };
  for (const [key, value] of Object.entries(deployment.metadata?.annotations ?? {}))
    if (!own.has(key)) annotations[key] = value;
  const current = set === undefined ? 0 : revisionOf(set);
  if (current < revision) {
    annotations[revisionKey] = String(revision);
    if (current > 0) {
      const history = (before[historyKey] ?? '').split(',').filter(Boolean);
      annotations[historyKey] = [...history.filter((entry) => entry !== String(current)), String(current)].join(',');
    }
  }
  return annotations;
}
