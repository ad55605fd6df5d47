import type { V1PodSecurityContext, V1SeccompProfile, V1SecurityContext } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { checkOptionalChoice, checkRange, checkRequiredName } from '../shared/checks.ts';

const largestId = 2 ** 31 - 1;
const sysctlPattern = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

function sysctlProblems(name: string): string[] {
  if (name.length > 253) return ['must be no more than 253 bytes'];
  if (sysctlPattern.test(name)) return [];
  return [
    'must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9]$',
  ];
}

function validateProfile(
  profile: Pick<V1SeccompProfile, 'type' | 'localhostProfile'> | undefined,
  word: string,
  path: string,
): FieldError[] {
  if (!profile) return [];
  const errors = checkOptionalChoice(profile.type, ['Localhost', 'RuntimeDefault', 'Unconfined'], `${path}.type`);
  const at = `${path}.localhostProfile`;
  if (profile.type === 'Localhost') {
    if (!profile.localhostProfile) errors.push(field.required(at, `must be set when ${word} type is Localhost`));
  } else if (profile.localhostProfile !== undefined) {
    errors.push(field.invalid(at, profile.localhostProfile, `can only be set when ${word} type is Localhost`));
  }
  return errors;
}

function validateIds(
  context: Pick<V1SecurityContext, 'runAsUser' | 'runAsGroup'> & { fsGroup?: number | undefined },
  path: string,
): FieldError[] {
  return (['runAsUser', 'runAsGroup', 'fsGroup'] as const).flatMap((name) =>
    checkRange(context[name], 0, largestId, `${path}.${name}`),
  );
}

/** `spec.securityContext`. */
export function validatePodSecurityContext(context: V1PodSecurityContext | undefined, path: string): FieldError[] {
  if (!context) return [];
  const errors = validateIds(context, path);
  (context.supplementalGroups ?? []).forEach((group, index) => {
    errors.push(...checkRange(group, 0, largestId, `${path}.supplementalGroups[${index}]`));
  });
  const names = new Set<string>();
  (context.sysctls ?? []).forEach((sysctl, index) => {
    const at = `${path}.sysctls[${index}].name`;
    errors.push(...checkRequiredName(sysctl.name, sysctlProblems, at));
    if (names.has(sysctl.name)) errors.push(field.duplicate(at, sysctl.name));
    names.add(sysctl.name);
  });
  errors.push(
    ...checkOptionalChoice(context.fsGroupChangePolicy, ['Always', 'OnRootMismatch'], `${path}.fsGroupChangePolicy`),
    ...checkOptionalChoice(context.supplementalGroupsPolicy, ['Merge', 'Strict'], `${path}.supplementalGroupsPolicy`),
    ...validateProfile(context.seccompProfile, 'seccomp', `${path}.seccompProfile`),
    ...validateProfile(context.appArmorProfile, 'AppArmor', `${path}.appArmorProfile`),
  );
  return errors;
}

/** The security context of a container; `hostUsers` is the pod's. */
export function validateSecurityContext(
  context: V1SecurityContext | undefined,
  hostUsers: boolean,
  path: string,
): FieldError[] {
  if (!context) return [];
  const errors = validateIds(context, path);
  if (context.procMount !== undefined) {
    errors.push(...checkOptionalChoice(context.procMount, ['Default', 'Unmasked'], `${path}.procMount`));
    if (hostUsers && context.procMount === 'Unmasked') {
      const words = '`hostUsers` must be false to use `Unmasked`';
      errors.push(field.invalid(`${path}.procMount`, context.procMount, words));
    }
  }
  errors.push(...validateProfile(context.seccompProfile, 'seccomp', `${path}.seccompProfile`));
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged) {
      const words = 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true';
      errors.push(field.invalid(path, context, words));
    }
    if ((context.capabilities?.add ?? []).some((name) => name === 'CAP_SYS_ADMIN')) {
      const words = 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN';
      errors.push(field.invalid(path, context, words));
    }
  }
  errors.push(...validateProfile(context.appArmorProfile, 'AppArmor', `${path}.appArmorProfile`));
  return errors;
}
