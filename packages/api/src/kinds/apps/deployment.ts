import type { V1Deployment, V1DeploymentSpec } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { defaultPodTemplate } from '../pod/defaults.ts';
import { checkImmutable, checkNotNegative } from '../shared/checks.ts';
import { ageColumn, nameColumn, templateColumns } from '../shared/columns.ts';
import { sameValue } from '../shared/equality.ts';
import { percentOf, validateIntOrPercent } from '../shared/int-or-percent.ts';
import { selectorText } from '../shared/label-selector.ts';
import { validateRunningTemplate, validateWorkloadSelector } from './template-rules.ts';

function defaults(deployment: V1Deployment): void {
  deployment.spec ??= {} as V1DeploymentSpec;
  deployment.status ??= {};
  const spec = deployment.spec;
  spec.replicas ??= 1;
  spec.strategy ??= {};
  spec.strategy.type ||= 'RollingUpdate';
  if (spec.strategy.type === 'RollingUpdate') {
    spec.strategy.rollingUpdate ??= {};
    spec.strategy.rollingUpdate.maxUnavailable ??= '25%';
    spec.strategy.rollingUpdate.maxSurge ??= '25%';
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  defaultPodTemplate(spec);
}

function validateStrategy(spec: V1DeploymentSpec): FieldError[] {
  const strategy = spec.strategy ?? {};
  const path = 'spec.strategy';
  if (strategy.type === 'Recreate') {
    if (!strategy.rollingUpdate) return [];
    return [field.forbidden(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'")];
  }
  if (strategy.type !== 'RollingUpdate') {
    return [field.notSupported(`${path}.type`, strategy.type, ['Recreate', 'RollingUpdate'])];
  }
  const at = `${path}.rollingUpdate`;
  if (!strategy.rollingUpdate) return [field.required(at, 'this should be defaulted and never be nil')];
  const { maxUnavailable = 0, maxSurge = 0 } = strategy.rollingUpdate;
  const errors = [
    ...validateIntOrPercent(maxUnavailable, `${at}.maxUnavailable`),
    ...validateIntOrPercent(maxSurge, `${at}.maxSurge`),
  ];
  if (percentOf(maxUnavailable) === 0 && percentOf(maxSurge) === 0) {
    errors.push(field.invalid(`${at}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0'));
  }
  if (typeof maxUnavailable === 'string' && (percentOf(maxUnavailable) ?? 0) > 100) {
    errors.push(field.invalid(`${at}.maxUnavailable`, maxUnavailable, 'must not be greater than 100%'));
  }
  return errors;
}

function validate(deployment: V1Deployment): FieldError[] {
  const spec = deployment.spec!;
  const errors = [
    ...checkNotNegative(spec.replicas, 'spec.replicas'),
    ...validateWorkloadSelector(spec.selector, 'deployment'),
    ...validateRunningTemplate(spec.template, spec.selector, 'ReplicaSet'),
    ...validateStrategy(spec),
    ...checkNotNegative(spec.minReadySeconds, 'spec.minReadySeconds'),
    ...checkNotNegative(spec.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
  ];
  const deadline = spec.progressDeadlineSeconds;
  if (deadline !== undefined) {
    errors.push(...checkNotNegative(deadline, 'spec.progressDeadlineSeconds'));
    if (deadline <= (spec.minReadySeconds ?? 0)) {
      errors.push(field.invalid('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds'));
    }
  }
  return errors;
}

export const deploymentBehaviour = behaviourOf<V1Deployment>({
  defaults,
  prepareForCreate: (deployment) => {
    deployment.status = {};
  },
  validate,
  validateUpdate: (deployment, old) =>
    checkImmutable(
      sameValue(deployment.spec!.selector, old.spec!.selector),
      deployment.spec!.selector,
      'spec.selector',
    ),
  // Upstream counts a change of annotations as well: the controller copies them to the ReplicaSet.
  specFields: ['spec', 'metadata.annotations'],
  ...printer<V1Deployment>([
    nameColumn,
    { name: 'Ready', cell: (d) => `${d.status?.readyReplicas ?? 0}/${d.spec?.replicas ?? 0}` },
    { name: 'Up-to-date', type: 'integer', cell: (d) => d.status?.updatedReplicas ?? 0 },
    { name: 'Available', type: 'integer', cell: (d) => d.status?.availableReplicas ?? 0 },
    ageColumn,
    ...templateColumns<V1Deployment>(
      (d) => d.spec?.template,
      (d) => selectorText(d.spec?.selector),
    ),
  ]),
});
