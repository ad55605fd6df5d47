import type { V1Job, V1JobSpec } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { defaultPodTemplate } from '../pod/defaults.ts';
import { validatePodTemplate } from '../pod/validate-spec.ts';
import { checkChoice, checkImmutable, checkNotNegative, checkOptionalChoice } from '../shared/checks.ts';
import { ageColumn, nameColumn, templateColumns } from '../shared/columns.ts';
import { humanDuration } from '../shared/duration.ts';
import { sameValue } from '../shared/equality.ts';
import { selectorMatches, selectorText, validateLabelSelector } from '../shared/label-selector.ts';

const controllerUid = 'batch.kubernetes.io/controller-uid';
const jobName = 'batch.kubernetes.io/job-name';
const legacyControllerUid = 'controller-uid';
const legacyJobName = 'job-name';
/** Pods of indexed jobs carry their index in names and annotations, which bounds how many there may be. */
const mostIndexed = 100_000;

/** Defaults of a Job's spec, in a Job and in a CronJob's template. */
export function defaultJobSpec(spec: V1JobSpec): void {
  if (spec.completions === undefined && spec.parallelism === undefined) {
    spec.completions = 1;
    spec.parallelism = 1;
  }
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2 ** 31 - 1;
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed';
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ||= 'True';
  }
  defaultPodTemplate(spec);
}

function defaults(job: V1Job): void {
  job.spec ??= {} as V1JobSpec;
  job.status ??= {};
  defaultJobSpec(job.spec);
}

/** A job selects its own pods by its uid, unless it says that it knows better. */
function generateSelector(job: V1Job): void {
  const spec = job.spec!;
  if (spec.manualSelector) return;
  const uid = job.metadata?.uid ?? '';
  const name = job.metadata?.name ?? '';
  const template = spec.template;
  template.metadata ??= {};
  template.metadata.labels = {
    ...template.metadata.labels,
    [controllerUid]: uid,
    [jobName]: name,
    [legacyControllerUid]: uid,
    [legacyJobName]: name,
  };
  spec.selector ??= {};
  spec.selector.matchLabels = { ...spec.selector.matchLabels, [controllerUid]: uid };
}

function prepareForCreate(job: V1Job): void {
  generateSelector(job);
  const labels = job.spec!.template.metadata?.labels;
  if (job.metadata && Object.keys(job.metadata.labels ?? {}).length === 0 && labels) {
    job.metadata.labels = { ...labels };
  }
  job.status = {};
}

function validateIndexed(spec: V1JobSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.completionMode === 'Indexed') {
    if (spec.completions === undefined) {
      errors.push(field.required(`${path}.completions`, `when completion mode is Indexed`));
    }
    if ((spec.parallelism ?? 0) > mostIndexed) {
      const words = `must be less than or equal to ${mostIndexed} when completion mode is Indexed`;
      errors.push(field.invalid(`${path}.parallelism`, spec.parallelism, words));
    }
  } else if (spec.backoffLimitPerIndex !== undefined) {
    const words = 'requires indexed completion mode';
    errors.push(field.invalid(`${path}.backoffLimitPerIndex`, spec.backoffLimitPerIndex, words));
  }
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined) {
    errors.push(field.required(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified'));
  }
  if (spec.successPolicy && spec.completionMode !== 'Indexed') {
    errors.push(field.invalid(`${path}.successPolicy`, spec.successPolicy, 'requires indexed completion mode'));
  }
  return errors;
}

/** Checks a Job's spec at `path`, of a Job or of a CronJob's template. */
export function validateJobSpec(spec: V1JobSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
  ] as const) {
    errors.push(...checkNotNegative(spec[name], `${path}.${name}`));
  }
  errors.push(...checkOptionalChoice(spec.completionMode, ['Indexed', 'NonIndexed'], `${path}.completionMode`));
  errors.push(...validateIndexed(spec, path));
  const replacement = ['Failed', 'TerminatingOrFailed'];
  errors.push(...checkOptionalChoice(spec.podReplacementPolicy, replacement, `${path}.podReplacementPolicy`));
  errors.push(...validatePodTemplate(spec.template, `${path}.template`));
  const policy = spec.template.spec?.restartPolicy;
  if (policy !== 'OnFailure' && policy !== 'Never') {
    const words = ['OnFailure', 'Never'];
    errors.push(
      policy === 'Always' || !policy
        ? {
            type: 'Required',
            field: `${path}.template.spec.restartPolicy`,
            detail: 'valid values: "OnFailure", "Never"',
          }
        : field.notSupported(`${path}.template.spec.restartPolicy`, policy, words),
    );
  } else if (spec.podFailurePolicy && policy !== 'Never') {
    const words = 'only "Never" is supported when podFailurePolicy is specified';
    errors.push(field.invalid(`${path}.template.spec.restartPolicy`, policy, words));
  }
  return errors;
}

function validate(job: V1Job): FieldError[] {
  const spec = job.spec!;
  const errors: FieldError[] = [];
  if (!spec.selector) errors.push(field.required('spec.selector'));
  else errors.push(...validateLabelSelector(spec.selector, 'spec.selector'));
  if (spec.selector && !selectorMatches(spec.selector, spec.template.metadata?.labels)) {
    const labels = spec.template.metadata?.labels ?? null;
    errors.push(field.invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'));
  }
  return [...errors, ...validateJobSpec(spec, 'spec')];
}

/** While a job is suspended and has not started, its pods' scheduling may still be changed (KEP-2926). */
function schedulingMayChange(job: V1Job): boolean {
  return Boolean(job.spec!.suspend) && !job.status?.startTime;
}

function withoutScheduling(template: V1JobSpec['template']): unknown {
  const spec = { ...template.spec } as Record<string, unknown>;
  for (const name of ['nodeSelector', 'affinity', 'tolerations', 'schedulingGates']) delete spec[name];
  const { labels: _labels, annotations: _annotations, ...metadata } = template.metadata ?? {};
  return { metadata, spec };
}

function validateUpdate(job: V1Job, old: V1Job): FieldError[] {
  const [spec, was] = [job.spec!, old.spec!];
  const same = schedulingMayChange(old)
    ? sameValue(withoutScheduling(spec.template), withoutScheduling(was.template))
    : sameValue(spec.template, was.template);
  const elastic = spec.completionMode === 'Indexed' && spec.completions === spec.parallelism;
  return [
    ...(elastic
      ? []
      : checkImmutable(spec.completions === was.completions, spec.completions ?? null, 'spec.completions')),
    ...checkImmutable(sameValue(spec.selector, was.selector), spec.selector, 'spec.selector'),
    ...checkImmutable(same, spec.template, 'spec.template'),
    ...checkImmutable(spec.completionMode === was.completionMode, spec.completionMode, 'spec.completionMode'),
    ...checkImmutable(
      sameValue(spec.podFailurePolicy, was.podFailurePolicy),
      spec.podFailurePolicy ?? null,
      'spec.podFailurePolicy',
    ),
    ...checkImmutable(
      spec.backoffLimitPerIndex === was.backoffLimitPerIndex,
      spec.backoffLimitPerIndex ?? null,
      'spec.backoffLimitPerIndex',
    ),
    ...checkImmutable(spec.managedBy === was.managedBy, spec.managedBy ?? null, 'spec.managedBy'),
    ...checkImmutable(
      sameValue(spec.successPolicy, was.successPolicy),
      spec.successPolicy ?? null,
      'spec.successPolicy',
    ),
  ];
}

function statusText(job: V1Job): string {
  const is = (type: string) => (job.status?.conditions ?? []).some((c) => c.type === type && c.status === 'True');
  if (is('Complete')) return 'Complete';
  if (is('Failed')) return 'Failed';
  if (job.metadata?.deletionTimestamp) return 'Terminating';
  if (is('Suspended')) return 'Suspended';
  if (is('FailureTarget')) return 'FailureTarget';
  return is('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running';
}

function completionsText(job: V1Job): string {
  const done = job.status?.succeeded ?? 0;
  const { completions, parallelism = 0 } = job.spec ?? {};
  if (completions !== undefined) return `${done}/${completions}`;
  return parallelism > 1 ? `${done}/1 of ${parallelism}` : `${done}/1`;
}

function durationText(job: V1Job, now: number): string {
  if (!job.status?.startTime) return '';
  const end = job.status.completionTime ? Date.parse(job.status.completionTime) : now;
  return humanDuration(end - Date.parse(job.status.startTime));
}

export const jobBehaviour = behaviourOf<V1Job>({
  defaults,
  prepareForCreate,
  validate,
  validateUpdate,
  specFields: ['spec'],
  // Kept by upstream for old clients: a job deleted without a policy leaves its pods. kubectl names one.
  defaultPropagation: 'Orphan',
  selectableFields: (job) => ({ 'status.successful': String(job.status?.succeeded ?? 0) }),
  selectableFieldNames: ['status.successful'],
  warnings: (job) =>
    job.spec?.completionMode === 'Indexed' &&
    (job.spec.completions ?? 0) > mostIndexed &&
    (job.spec.parallelism ?? 0) > 10_000
      ? [
          'In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail',
        ]
      : [],
  ...printer<V1Job>([
    nameColumn,
    { name: 'Status', cell: statusText },
    { name: 'Completions', cell: completionsText },
    { name: 'Duration', cell: durationText },
    ageColumn,
    ...templateColumns<V1Job>(
      (job) => job.spec?.template,
      (job) => selectorText(job.spec?.selector),
    ),
  ]),
});

/** The words of `spec.concurrencyPolicy`. */
export function checkConcurrency(value: string | undefined): FieldError[] {
  return checkChoice(value, ['Allow', 'Forbid', 'Replace'], 'spec.concurrencyPolicy');
}
