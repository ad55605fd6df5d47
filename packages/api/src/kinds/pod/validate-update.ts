import type { V1Pod, V1PodSpec, V1Toleration } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { checkRange } from '../shared/checks.ts';
import { sameValue } from '../shared/equality.ts';
import { specDiff } from './spec-diff.ts';

const updatable = [
  '`spec.containers[*].image`',
  '`spec.initContainers[*].image`',
  '`spec.activeDeadlineSeconds`',
  '`spec.tolerations` (only additions to existing tolerations)',
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
];

function sameToleration(a: V1Toleration, b: V1Toleration): boolean {
  return (
    (a.key ?? '') === (b.key ?? '') &&
    (a.effect ?? '') === (b.effect ?? '') &&
    (a.operator ?? 'Equal') === (b.operator ?? 'Equal') &&
    (a.value ?? '') === (b.value ?? '')
  );
}

function validateTolerationUpdate(spec: V1PodSpec, old: V1PodSpec): FieldError[] {
  const now = spec.tolerations ?? [];
  const kept = (old.tolerations ?? []).every((was) => now.some((is) => sameToleration(was, is)));
  if (kept) return [];
  const words = 'existing toleration can not be modified except its tolerationSeconds';
  return [field.forbidden('spec.tolerations', words)];
}

function validateDeadlineUpdate(spec: V1PodSpec, old: V1PodSpec): FieldError[] {
  const at = 'spec.activeDeadlineSeconds';
  const now = spec.activeDeadlineSeconds;
  const was = old.activeDeadlineSeconds;
  if (now !== undefined) {
    const problems = checkRange(now, 0, 2 ** 31 - 1, at);
    if (problems.length > 0) return problems;
    if (was !== undefined && was < now) {
      return [field.invalid(at, now, 'must be less than or equal to previous value')];
    }
  } else if (was !== undefined) {
    return [field.invalid(at, null, 'must not update from a positive integer to nil value')];
  }
  return [];
}

function withOldImages(containers: readonly { name: string; image?: string | undefined }[], old: typeof containers) {
  return containers.map((container, index) => ({ ...container, image: old[index]?.image }));
}

/** The new spec with everything taken back that an update of a pod may change. */
function withoutAllowedChanges(spec: V1PodSpec, old: V1PodSpec): V1PodSpec {
  const munged: V1PodSpec = {
    ...spec,
    containers: withOldImages(spec.containers, old.containers) as V1PodSpec['containers'],
    activeDeadlineSeconds: old.activeDeadlineSeconds,
    tolerations: old.tolerations,
  };
  if (spec.initContainers) {
    munged.initContainers = withOldImages(spec.initContainers, old.initContainers ?? []) as V1PodSpec['containers'];
  }
  if ((old.schedulingGates ?? []).length > 0) {
    munged.schedulingGates = old.schedulingGates;
    munged.nodeSelector = old.nodeSelector;
    munged.affinity = old.affinity;
  }
  if ((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1) {
    munged.terminationGracePeriodSeconds = old.terminationGracePeriodSeconds;
  }
  return munged;
}

function validateGateUpdate(spec: V1PodSpec, old: V1PodSpec): FieldError[] {
  const had = new Set((old.schedulingGates ?? []).map((gate) => gate.name));
  const added = (spec.schedulingGates ?? []).filter((gate) => !had.has(gate.name)).map((gate) => gate.name);
  if (added.length === 0) return [];
  const words = `only deletion is allowed, but found new scheduling gates '${added.join("', '")}'`;
  return [field.forbidden('spec.schedulingGates', words)];
}

/** What an update of a pod may not change (everything but images, a deadline and new tolerations). */
export function validatePodUpdate(pod: V1Pod, oldPod: V1Pod): FieldError[] {
  const spec = pod.spec!;
  const old = oldPod.spec!;
  const counted = [
    ['containers', 'spec.containers'],
    ['initContainers', 'spec.initContainers'],
  ] as const;
  for (const [name, path] of counted) {
    if ((spec[name] ?? []).length !== (old[name] ?? []).length) {
      return [field.forbidden(path, 'pod updates may not add or remove containers')];
    }
  }
  const errors = [
    ...validateDeadlineUpdate(spec, old),
    ...validateTolerationUpdate(spec, old),
    ...validateGateUpdate(spec, old),
  ];
  const munged = withoutAllowedChanges(spec, old);
  if (!sameValue(munged, old)) {
    const words = `pod updates may not change fields other than ${updatable.join(',')}\n${specDiff(old, munged)}`;
    errors.push(field.forbidden('spec', words));
  }
  return errors;
}
