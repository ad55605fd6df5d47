import type { V1LabelSelector, V1ObjectMeta, V1PodTemplateSpec } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { validatePodTemplate } from '../pod/validate-spec.ts';
import { isEmptySelector, selectorMatches, validateLabelSelector } from '../shared/label-selector.ts';

/** A workload's selector: given, well formed, not empty. `kind` is for the message. */
export function validateWorkloadSelector(
  selector: V1LabelSelector | undefined,
  kind: 'deployment' | 'replicaset' | 'statefulset' | 'daemonset',
  path = 'spec.selector',
): FieldError[] {
  if (!selector) return [field.required(path)];
  const errors = validateLabelSelector(selector, path);
  if (isEmptySelector(selector)) {
    errors.push(field.invalid(path, selector, `empty selector is invalid for ${kind}`));
  }
  return errors;
}

/** The template of a workload that keeps pods running: selected by its own selector, always restarted. */
export function validateRunningTemplate(
  template: V1PodTemplateSpec,
  selector: V1LabelSelector | undefined,
  kind: string,
  path = 'spec.template',
): FieldError[] {
  const errors: FieldError[] = [];
  const labels = template.metadata?.labels;
  if (selector && !isEmptySelector(selector) && !selectorMatches(selector, labels)) {
    errors.push(
      field.invalid(`${path}.metadata.labels`, labels ?? null, '`selector` does not match template `labels`'),
    );
  }
  errors.push(...validatePodTemplate(template, path));
  const policy = template.spec?.restartPolicy;
  if (policy && policy !== 'Always') errors.push(field.notSupported(`${path}.spec.restartPolicy`, policy, ['Always']));
  if (template.spec?.activeDeadlineSeconds !== undefined) {
    const words = `activeDeadlineSeconds in ${kind} is not Supported`;
    errors.push(field.forbidden(`${path}.spec.activeDeadlineSeconds`, words));
  }
  return errors;
}

/** Workloads made without labels of their own take those of their template (older clients rely on it). */
export function defaultLabelsFromTemplate(object: {
  metadata?: V1ObjectMeta | undefined;
  spec?: { template?: V1PodTemplateSpec | undefined } | undefined;
}): void {
  const labels = object.spec?.template?.metadata?.labels;
  if (!object.metadata || !labels || Object.keys(object.metadata.labels ?? {}).length > 0) return;
  object.metadata.labels = { ...labels };
}
