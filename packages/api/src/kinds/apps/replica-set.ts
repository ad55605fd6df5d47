import type { V1ReplicaSet, V1ReplicaSetSpec } from '../../../generated/types.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { defaultPodTemplate } from '../pod/defaults.ts';
import { checkImmutable, checkNotNegative } from '../shared/checks.ts';
import { ageColumn, nameColumn, templateColumns } from '../shared/columns.ts';
import { sameValue } from '../shared/equality.ts';
import { selectorText } from '../shared/label-selector.ts';
import { defaultLabelsFromTemplate, validateRunningTemplate, validateWorkloadSelector } from './template-rules.ts';

export const replicaSetBehaviour = behaviourOf<V1ReplicaSet>({
  defaults: (set) => {
    set.spec ??= {} as V1ReplicaSetSpec;
    set.status ??= { replicas: 0 };
    set.status.replicas ??= 0;
    set.spec.replicas ??= 1;
    defaultPodTemplate(set.spec);
  },
  prepareForCreate: (set) => {
    defaultLabelsFromTemplate(set);
    set.status = { replicas: 0 };
  },
  validate: (set) => [
    ...checkNotNegative(set.spec!.replicas, 'spec.replicas'),
    ...checkNotNegative(set.spec!.minReadySeconds, 'spec.minReadySeconds'),
    ...validateWorkloadSelector(set.spec!.selector, 'replicaset'),
    ...validateRunningTemplate(set.spec!.template!, set.spec!.selector, 'ReplicaSet'),
  ],
  validateUpdate: (set, old) =>
    checkImmutable(sameValue(set.spec!.selector, old.spec!.selector), set.spec!.selector, 'spec.selector'),
  specFields: ['spec'],
  selectableFields: (set) => ({ 'status.replicas': String(set.status?.replicas ?? 0) }),
  selectableFieldNames: ['status.replicas'],
  ...printer<V1ReplicaSet>([
    nameColumn,
    { name: 'Desired', type: 'integer', cell: (set) => set.spec?.replicas ?? 0 },
    { name: 'Current', type: 'integer', cell: (set) => set.status?.replicas ?? 0 },
    { name: 'Ready', type: 'integer', cell: (set) => set.status?.readyReplicas ?? 0 },
    ageColumn,
    ...templateColumns<V1ReplicaSet>(
      (set) => set.spec?.template,
      (set) => selectorText(set.spec?.selector),
    ),
  ]),
});
