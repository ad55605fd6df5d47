import type { V1CronJob, V1CronJobSpec, V1JobSpec } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { behaviourOf, printer } from '../behaviour.ts';
import { defaultPodTemplate } from '../pod/defaults.ts';
import { checkNotNegative } from '../shared/checks.ts';
import { ageColumn, nameColumn, orNone, templateColumns } from '../shared/columns.ts';
import { ageOf } from '../shared/duration.ts';
import { cronProblem } from './cron-expression.ts';
import { checkConcurrency, validateJobSpec } from './job.ts';

/** Names of jobs are the cron job's with eleven characters for the time, within 63. */
const longestName = 52;

function defaults(cron: V1CronJob): void {
  cron.spec ??= {} as V1CronJobSpec;
  cron.status ??= {};
  const spec = cron.spec;
  spec.concurrencyPolicy ||= 'Allow';
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  spec.jobTemplate ??= {};
  spec.jobTemplate.metadata ??= {};
  spec.jobTemplate.spec ??= {} as V1JobSpec;
  // Only the pod template's defaults show here; those of jobs are filled in when one is made from it.
  defaultPodTemplate(spec.jobTemplate.spec);
}

function validateTimeZone(zone: string | undefined): FieldError[] {
  if (zone === undefined) return [];
  const path = 'spec.timeZone';
  if (zone === '') return [field.invalid(path, zone, 'timeZone must be nil or non-empty string')];
  if (zone.toLowerCase() === 'local') {
    return [
      field.invalid(path, zone, 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones'),
    ];
  }
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return [];
  } catch {
    return [field.invalid(path, zone, `unknown time zone ${zone}`)];
  }
}

function validate(cron: V1CronJob): FieldError[] {
  const spec = cron.spec!;
  const errors: FieldError[] = [];
  if (!spec.schedule) errors.push(field.required('spec.schedule'));
  else {
    const problem = cronProblem(spec.schedule);
    if (problem !== undefined) errors.push(field.invalid('spec.schedule', spec.schedule, problem));
    if (/TZ/.test(spec.schedule) && spec.timeZone !== undefined) {
      errors.push(
        field.invalid('spec.timeZone', spec.timeZone, 'cannot use both timeZone field and TZ or CRON_TZ in schedule'),
      );
    }
  }
  errors.push(...validateTimeZone(spec.timeZone));
  errors.push(...checkNotNegative(spec.startingDeadlineSeconds, 'spec.startingDeadlineSeconds'));
  errors.push(...checkConcurrency(spec.concurrencyPolicy));
  errors.push(...validateJobSpec(spec.jobTemplate.spec!, 'spec.jobTemplate.spec'));
  if (spec.jobTemplate.spec!.manualSelector) {
    errors.push(field.notSupported('spec.jobTemplate.spec.manualSelector', true, ['nil', 'false']));
  }
  errors.push(...checkNotNegative(spec.successfulJobsHistoryLimit, 'spec.successfulJobsHistoryLimit'));
  errors.push(...checkNotNegative(spec.failedJobsHistoryLimit, 'spec.failedJobsHistoryLimit'));
  if ((cron.metadata?.name ?? '').length > longestName) {
    errors.push(field.invalid('metadata.name', cron.metadata!.name, `must be no more than ${longestName} characters`));
  }
  return errors;
}

export const cronJobBehaviour = behaviourOf<V1CronJob>({
  defaults,
  prepareForCreate: (cron) => {
    cron.status = {};
  },
  validate,
  specFields: ['spec'],
  ...printer<V1CronJob>([
    nameColumn,
    { name: 'Schedule', cell: (cron) => cron.spec?.schedule ?? '' },
    { name: 'Timezone', cell: (cron) => orNone(cron.spec?.timeZone) },
    { name: 'Suspend', cell: (cron) => (cron.spec?.suspend ? 'True' : 'False') },
    { name: 'Active', type: 'integer', cell: (cron) => cron.status?.active?.length ?? 0 },
    {
      name: 'Last Schedule',
      cell: (cron, now) => (cron.status?.lastScheduleTime ? ageOf(cron.status.lastScheduleTime, now) : '<none>'),
    },
    ageColumn,
    ...templateColumns<V1CronJob>(
      (cron) => cron.spec?.jobTemplate?.spec?.template,
      () => '<none>',
    ),
  ]),
});
