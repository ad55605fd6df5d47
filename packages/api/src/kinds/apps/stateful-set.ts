import type { V1StatefulSet, V1StatefulSetSpec } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { defaultPodTemplate } from '../pod/defaults.ts';
import { checkChoice, checkNotNegative } from '../shared/checks.ts';
import { ageColumn, nameColumn, templateColumns } from '../shared/columns.ts';
import { sameValue } from '../shared/equality.ts';
import { validateIntOrPercent } from '../shared/int-or-percent.ts';
import { validateRunningTemplate, validateWorkloadSelector } from './template-rules.ts';

function defaults(set: V1StatefulSet): void {
  set.spec ??= {} as V1StatefulSetSpec;
  set.status ??= { replicas: 0 };
  set.status.replicas ??= 0;
  const spec = set.spec;
  spec.podManagementPolicy ||= 'OrderedReady';
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= 'RollingUpdate';
  if (spec.updateStrategy.type === 'RollingUpdate') {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.partition ??= 0;
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= 'Retain';
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= 'Retain';
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  defaultPodTemplate(spec);
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion = 'v1';
    claim.kind = 'PersistentVolumeClaim';
    claim.spec ??= {};
    claim.spec.volumeMode ??= 'Filesystem';
    claim.status ??= {};
    claim.status.phase ||= 'Pending';
  }
}

function validateUpdateStrategy(spec: V1StatefulSetSpec): FieldError[] {
  const path = 'spec.updateStrategy';
  const strategy = spec.updateStrategy ?? {};
  if (!strategy.type) return [field.required(path)];
  if (strategy.type === 'OnDelete') {
    if (!strategy.rollingUpdate) return [];
    const words = "only allowed for updateStrategy 'RollingUpdate'";
    return [field.invalid(`${path}.rollingUpdate`, strategy.rollingUpdate, words)];
  }
  if (strategy.type !== 'RollingUpdate') {
    return [field.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")];
  }
  const errors = checkNotNegative(strategy.rollingUpdate?.partition, `${path}.rollingUpdate.partition`);
  const most = strategy.rollingUpdate?.maxUnavailable;
  if (most !== undefined) errors.push(...validateIntOrPercent(most, `${path}.rollingUpdate.maxUnavailable`));
  return errors;
}

function validate(set: V1StatefulSet): FieldError[] {
  const spec = set.spec!;
  const retention = 'spec.persistentVolumeClaimRetentionPolicy';
  const policies = ['Retain', 'Delete'];
  return [
    ...checkChoice(spec.podManagementPolicy, ['OrderedReady', 'Parallel'], 'spec.podManagementPolicy'),
    ...validateUpdateStrategy(spec),
    ...checkChoice(spec.persistentVolumeClaimRetentionPolicy?.whenDeleted, policies, `${retention}.whenDeleted`),
    ...checkChoice(spec.persistentVolumeClaimRetentionPolicy?.whenScaled, policies, `${retention}.whenScaled`),
    ...checkNotNegative(spec.replicas, 'spec.replicas'),
    ...checkNotNegative(spec.minReadySeconds, 'spec.minReadySeconds'),
    ...checkNotNegative(spec.ordinals?.start, 'spec.ordinals.start'),
    ...validateWorkloadSelector(spec.selector, 'statefulset'),
    ...validateRunningTemplate(templateWithClaims(spec), spec.selector, 'StatefulSet'),
  ];
}

/** Claims made from templates stand for volumes that the pods' mounts may name. */
function templateWithClaims(spec: V1StatefulSetSpec): V1StatefulSetSpec['template'] {
  const claims = spec.volumeClaimTemplates ?? [];
  if (claims.length === 0 || !spec.template.spec) return spec.template;
  const names = new Set(claims.map((claim) => claim.metadata?.name ?? ''));
  const volumes = (spec.template.spec.volumes ?? []).filter((volume) => !names.has(volume.name));
  const claimed = [...names].map((name) => ({ name, persistentVolumeClaim: { claimName: name } }));
  return { ...spec.template, spec: { ...spec.template.spec, volumes: [...volumes, ...claimed] } };
}

const changeable = new Set([
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
]);

function validateUpdate(set: V1StatefulSet, old: V1StatefulSet): FieldError[] {
  const fixed = (spec: object) => Object.fromEntries(Object.entries(spec).filter(([key]) => !changeable.has(key)));
  if (sameValue(fixed(set.spec!), fixed(old.spec!))) return [];
  return [
    field.forbidden(
      'spec',
      "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ),
  ];
}

const [containersColumn, imagesColumn] = templateColumns<V1StatefulSet>(
  (set) => set.spec?.template,
  () => '',
);

export const statefulSetBehaviour = behaviourOf<V1StatefulSet>({
  defaults,
  prepareForCreate: (set) => {
    set.status = { replicas: 0 };
  },
  validate,
  validateUpdate,
  specFields: ['spec'],
  ...printer<V1StatefulSet>([
    nameColumn,
    { name: 'Ready', cell: (set) => `${set.status?.readyReplicas ?? 0}/${set.spec?.replicas ?? 0}` },
    ageColumn,
    containersColumn!,
    imagesColumn!,
  ]),
});
