import type { V1Pod } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { timeText } from '../../time.ts';
import { behaviourOf } from '../behaviour.ts';
import { defaultPod } from './defaults.ts';
import { podPrinter } from './printer.ts';
import { qosClassOf } from './qos.ts';
import { validatePodSpec } from './validate-spec.ts';
import { validatePodUpdate } from './validate-update.ts';

function prepareForCreate(pod: V1Pod, now: number): void {
  const spec = pod.spec!;
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) spec.terminationGracePeriodSeconds = 1;
  pod.status = { phase: 'Pending', qosClass: qosClassOf(spec) };
  if ((spec.schedulingGates ?? []).length > 0) {
    pod.status.conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'SchedulingGated',
        message: 'Scheduling is blocked due to non-empty scheduling gates',
        lastProbeTime: null as unknown as undefined,
        lastTransitionTime: timeText(now),
      },
    ];
  }
}

/** A pod that lost its last scheduling gate waits for the scheduler like any other. */
function prepareForUpdate(pod: V1Pod, old: V1Pod): void {
  pod.status = { ...old.status };
  if ((old.spec?.schedulingGates ?? []).length === 0 || (pod.spec?.schedulingGates ?? []).length > 0) return;
  const conditions = pod.status.conditions?.filter((c) => c.reason !== 'SchedulingGated');
  if (conditions) pod.status.conditions = conditions;
}

function validateCreate(pod: V1Pod): FieldError[] {
  return validatePodSpec(pod.spec!, 'spec');
}

/** The kubelet may not forget that it had accepted a pod, nor may a class of service change. */
function validateStatusUpdate(pod: V1Pod, old: V1Pod): FieldError[] {
  const errors: FieldError[] = [];
  const nominated = pod.status?.nominatedNodeName;
  if (nominated && nominated.length > 253) errors.push(field.tooLong('status.nominatedNodeName', 253));
  const was = old.status?.qosClass;
  const is = pod.status?.qosClass;
  if (was && is && was !== is) errors.push(field.invalid('status.qosClass', is, 'field is immutable'));
  if ((pod.spec?.nodeName ?? '') !== (old.spec?.nodeName ?? '')) {
    errors.push(field.forbidden('status.nodeName', 'may not be changed directly'));
  }
  return errors;
}

function selectableFields(pod: V1Pod): Record<string, string> {
  return {
    'spec.nodeName': pod.spec?.nodeName ?? '',
    'spec.restartPolicy': pod.spec?.restartPolicy ?? '',
    'spec.schedulerName': pod.spec?.schedulerName ?? '',
    'spec.serviceAccountName': pod.spec?.serviceAccountName ?? '',
    'spec.hostNetwork': String(pod.spec?.hostNetwork ?? false),
    'status.phase': pod.status?.phase ?? '',
    'status.podIP': pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? '',
    'status.nominatedNodeName': pod.status?.nominatedNodeName ?? '',
  };
}

/** Pods that are not on a node, or are done, go at once; others get the time they asked for. */
function gracePeriod(pod: V1Pod, asked: number | undefined): number {
  const period = asked ?? pod.spec?.terminationGracePeriodSeconds ?? 0;
  if (!pod.spec?.nodeName) return 0;
  if (pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') return 0;
  return period < 0 ? 1 : period;
}

export const podBehaviour = behaviourOf<V1Pod>({
  defaults: defaultPod,
  prepareForCreate: (pod, { now }) => prepareForCreate(pod, now),
  prepareForUpdate,
  prepareForStatusUpdate: (pod, old) => {
    // Set once by the server, and not the kubelet's to change.
    if (pod.status && !pod.status.qosClass && old.status?.qosClass) pod.status.qosClass = old.status.qosClass;
  },
  validate: validateCreate,
  validateUpdate: validatePodUpdate,
  validateStatusUpdate,
  specFields: ['spec'],
  gracePeriod,
  selectableFields,
  selectableFieldNames: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  ...podPrinter,
});
