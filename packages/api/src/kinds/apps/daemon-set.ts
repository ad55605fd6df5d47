import type { V1DaemonSet, V1DaemonSetSpec } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { defaultPodTemplate } from '../pod/defaults.ts';
import { checkImmutable, checkNotNegative } from '../shared/checks.ts';
import { ageColumn, labelsTextColumn, nameColumn, templateColumns } from '../shared/columns.ts';
import { sameValue } from '../shared/equality.ts';
import { percentOf, validateIntOrPercent } from '../shared/int-or-percent.ts';
import { selectorText } from '../shared/label-selector.ts';
import { validateRunningTemplate, validateWorkloadSelector } from './template-rules.ts';

const emptyStatus = { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 };

function defaults(set: V1DaemonSet): void {
  set.spec ??= {} as V1DaemonSetSpec;
  set.status = { ...emptyStatus, ...set.status };
  const spec = set.spec;
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= 'RollingUpdate';
  if (spec.updateStrategy.type === 'RollingUpdate') {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
    spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
  }
  spec.revisionHistoryLimit ??= 10;
  defaultPodTemplate(spec);
}

function validateUpdateStrategy(spec: V1DaemonSetSpec): FieldError[] {
  const path = 'spec.updateStrategy';
  const strategy = spec.updateStrategy ?? {};
  if (strategy.type === 'OnDelete') return [];
  if (strategy.type !== 'RollingUpdate') {
    return [field.notSupported(`${path}.type`, strategy.type, ['OnDelete', 'RollingUpdate'])];
  }
  const at = `${path}.rollingUpdate`;
  if (!strategy.rollingUpdate) return [field.required(at)];
  const { maxUnavailable = 0, maxSurge = 0 } = strategy.rollingUpdate;
  const errors = [
    ...validateIntOrPercent(maxUnavailable, `${at}.maxUnavailable`),
    ...validateIntOrPercent(maxSurge, `${at}.maxSurge`),
  ];
  const [down, up] = [percentOf(maxUnavailable) ?? 0, percentOf(maxSurge) ?? 0];
  if (down > 0 && up > 0) {
    errors.push(field.invalid(`${at}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero'));
  }
  if (down === 0 && up === 0) errors.push(field.required(`${at}.maxUnavailable`, 'cannot be 0 when maxSurge is 0'));
  return errors;
}

export const daemonSetBehaviour = behaviourOf<V1DaemonSet>({
  defaults,
  prepareForCreate: (set) => {
    set.status = { ...emptyStatus };
  },
  validate: (set) => [
    ...validateWorkloadSelector(set.spec!.selector, 'daemonset'),
    ...validateRunningTemplate(set.spec!.template, set.spec!.selector, 'DaemonSet'),
    ...checkNotNegative(set.spec!.minReadySeconds, 'spec.minReadySeconds'),
    ...validateUpdateStrategy(set.spec!),
    ...checkNotNegative(set.spec!.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
  ],
  validateUpdate: (set, old) =>
    checkImmutable(sameValue(set.spec!.selector, old.spec!.selector), set.spec!.selector, 'spec.selector'),
  specFields: ['spec'],
  ...printer<V1DaemonSet>([
    nameColumn,
    { name: 'Desired', type: 'integer', cell: (set) => set.status?.desiredNumberScheduled ?? 0 },
    { name: 'Current', type: 'integer', cell: (set) => set.status?.currentNumberScheduled ?? 0 },
    { name: 'Ready', type: 'integer', cell: (set) => set.status?.numberReady ?? 0 },
    { name: 'Up-to-date', type: 'integer', cell: (set) => set.status?.updatedNumberScheduled ?? 0 },
    { name: 'Available', type: 'integer', cell: (set) => set.status?.numberAvailable ?? 0 },
    labelsTextColumn('Node Selector', (set: V1DaemonSet) => set.spec?.template?.spec?.nodeSelector),
    ageColumn,
    ...templateColumns<V1DaemonSet>(
      (set) => set.spec?.template,
      (set) => selectorText(set.spec?.selector),
    ),
  ]),
});
