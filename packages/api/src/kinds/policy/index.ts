import type {
  V1CSIDriver,
  V1CSINode,
  V1PodDisruptionBudget,
  V1PriorityClass,
  V1RuntimeClass,
  V1StorageClass,
  V1VolumeAttachment,
} from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { checkImmutable, checkOptionalChoice } from '../shared/checks.ts';
import { ageColumn, boolText, nameColumn } from '../shared/columns.ts';
import { sameValue } from '../shared/equality.ts';
import { validateIntOrPercent } from '../shared/int-or-percent.ts';
import { validateLabelSelector } from '../shared/label-selector.ts';

export const disruptionBudgetBehaviour = behaviourOf<V1PodDisruptionBudget>({
  defaults: (budget) => {
    budget.spec ??= {};
    budget.status = { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0, ...budget.status };
  },
  prepareForCreate: (budget) => {
    budget.status = { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 };
  },
  validate: (budget) => {
    const spec = budget.spec!;
    const errors: FieldError[] = [];
    if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined) {
      errors.push(field.invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set'));
    }
    for (const name of ['minAvailable', 'maxUnavailable'] as const) {
      const value = spec[name];
      if (value !== undefined) errors.push(...validateIntOrPercent(value, `spec.${name}`));
    }
    const policies = ['AlwaysAllow', 'IfHealthyBudget'];
    errors.push(...checkOptionalChoice(spec.unhealthyPodEvictionPolicy, policies, 'spec.unhealthyPodEvictionPolicy'));
    return [...errors, ...validateLabelSelector(spec.selector, 'spec.selector')];
  },
  specFields: ['spec'],
  ...printer<V1PodDisruptionBudget>([
    nameColumn,
    { name: 'Min Available', cell: (budget) => String(budget.spec?.minAvailable ?? 'N/A') },
    { name: 'Max Unavailable', cell: (budget) => String(budget.spec?.maxUnavailable ?? 'N/A') },
    { name: 'Allowed Disruptions', type: 'integer', cell: (budget) => budget.status?.disruptionsAllowed ?? 0 },
    ageColumn,
  ]),
});

/** The highest value that a class of a user may have; above are the system's. */
const highestUserPriority = 1_000_000_000;

export const priorityClassBehaviour = behaviourOf<V1PriorityClass>({
  defaults: (priority) => {
    priority.preemptionPolicy ??= 'PreemptLowerPriority';
    priority.value ??= 0;
  },
  validate: (priority) => {
    const name = priority.metadata?.name ?? '';
    const errors: FieldError[] = [];
    const system: Readonly<Record<string, number>> = {
      'system-node-critical': 2_000_001_000,
      'system-cluster-critical': 2_000_000_000,
    };
    if (name.startsWith('system-') && system[name] !== priority.value) {
      const words = "priority class names with 'system-' prefix are reserved for system use only. error: ";
      errors.push(field.forbidden('metadata.name', `${words}${name} is not a known system priority class`));
    }
    if (!name.startsWith('system-') && (priority.value ?? 0) > highestUserPriority) {
      errors.push(
        field.forbidden('value', `maximum allowed value of a user defined priority is ${highestUserPriority}`),
      );
    }
    const policies = ['Never', 'PreemptLowerPriority'];
    return [...errors, ...checkOptionalChoice(priority.preemptionPolicy, policies, 'preemptionPolicy')];
  },
  validateUpdate: (priority, old) => [
    ...(priority.value === old.value ? [] : [field.forbidden('Value', 'may not be changed in an update.')]),
    ...checkImmutable(
      priority.preemptionPolicy === old.preemptionPolicy,
      priority.preemptionPolicy,
      'preemptionPolicy',
    ),
  ],
  specFields: ['value', 'globalDefault', 'description', 'preemptionPolicy'],
  ...printer<V1PriorityClass>([
    nameColumn,
    { name: 'Value', type: 'integer', cell: (priority) => priority.value },
    { name: 'Global-Default', type: 'boolean', cell: (priority) => priority.globalDefault ?? false },
    ageColumn,
    { name: 'PreemptionPolicy', cell: (priority) => priority.preemptionPolicy ?? '' },
  ]),
});

export const runtimeClassBehaviour = behaviourOf<V1RuntimeClass>({
  validate: (runtime) => (runtime.handler ? [] : [field.required('handler')]),
  validateUpdate: (runtime, old) => checkImmutable(runtime.handler === old.handler, runtime.handler, 'handler'),
  ...printer<V1RuntimeClass>([nameColumn, { name: 'Handler', cell: (runtime) => runtime.handler }, ageColumn]),
});

function fixedFields<T extends object>(now: T, old: T, names: readonly (keyof T & string)[]): FieldError[] {
  return names.flatMap((name) =>
    sameValue(now[name], old[name]) ? [] : [field.forbidden(name, `updates to ${name} are forbidden.`)],
  );
}

export const storageClassBehaviour = behaviourOf<V1StorageClass>({
  defaults: (storage) => {
    storage.reclaimPolicy ??= 'Delete';
    storage.volumeBindingMode ??= 'Immediate';
  },
  validate: (storage) => [
    ...(storage.provisioner ? [] : [field.required('provisioner')]),
    ...checkOptionalChoice(storage.reclaimPolicy, ['Delete', 'Retain'], 'reclaimPolicy'),
    ...checkOptionalChoice(storage.volumeBindingMode, ['Immediate', 'WaitForFirstConsumer'], 'volumeBindingMode'),
  ],
  validateUpdate: (now, old) =>
    fixedFields(now, old, ['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode']),
  ...printer<V1StorageClass>([
    {
      ...nameColumn,
      cell: ({ metadata }) =>
        metadata?.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true'
          ? `${metadata.name} (default)`
          : (metadata?.name ?? ''),
    },
    { name: 'Provisioner', cell: (storage) => storage.provisioner },
    { name: 'ReclaimPolicy', cell: (storage) => storage.reclaimPolicy ?? 'Delete' },
    { name: 'VolumeBindingMode', cell: (storage) => storage.volumeBindingMode ?? 'Immediate' },
    { name: 'AllowVolumeExpansion', cell: (storage) => boolText(storage.allowVolumeExpansion) },
    ageColumn,
  ]),
});

export const volumeAttachmentBehaviour = behaviourOf<V1VolumeAttachment>({
  defaults: (attachment) => {
    attachment.status ??= { attached: false };
  },
  ...printer<V1VolumeAttachment>([
    nameColumn,
    { name: 'Attacher', cell: ({ spec }) => spec?.attacher ?? '' },
    { name: 'PV', cell: ({ spec }) => spec?.source?.persistentVolumeName ?? '' },
    { name: 'Node', cell: ({ spec }) => spec?.nodeName ?? '' },
    { name: 'Attached', type: 'boolean', cell: ({ status }) => status?.attached ?? false },
    ageColumn,
  ]),
});

export const csiNodeBehaviour = behaviourOf<V1CSINode>({
  ...printer<V1CSINode>([
    nameColumn,
    { name: 'Drivers', type: 'integer', cell: ({ spec }) => spec?.drivers?.length ?? 0 },
    ageColumn,
  ]),
});

export const csiDriverBehaviour = behaviourOf<V1CSIDriver>({
  defaults: (driver) => {
    driver.spec ??= {};
    driver.spec.attachRequired ??= true;
    driver.spec.podInfoOnMount ??= false;
    driver.spec.storageCapacity ??= false;
    driver.spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
    if (!driver.spec.volumeLifecycleModes?.length) driver.spec.volumeLifecycleModes = ['Persistent'];
    driver.spec.requiresRepublish ??= false;
    driver.spec.seLinuxMount ??= false;
  },
  specFields: ['spec'],
  ...printer<V1CSIDriver>([
    nameColumn,
    { name: 'AttachRequired', type: 'boolean', cell: ({ spec }) => spec?.attachRequired ?? true },
    { name: 'PodInfoOnMount', type: 'boolean', cell: ({ spec }) => spec?.podInfoOnMount ?? false },
    { name: 'StorageCapacity', type: 'boolean', cell: ({ spec }) => spec?.storageCapacity ?? false },
    { name: 'TokenRequests', cell: ({ spec }) => spec?.tokenRequests?.map((r) => r.audience).join(',') || '<unset>' },
    { name: 'RequiresRepublish', type: 'boolean', cell: ({ spec }) => spec?.requiresRepublish ?? false },
    { name: 'Modes', cell: ({ spec }) => (spec?.volumeLifecycleModes ?? []).join(',') },
    ageColumn,
  ]),
});
