import type { V1Pod, V1PriorityClass } from '@wherry/api';
import type { AdmissionPlugin, AdmissionReader, AdmissionRequest } from './contract.ts';
import { isPod, refuse, resources } from './refuse.ts';

function defaultClass(reader: AdmissionReader): V1PriorityClass | undefined {
  const defaults = (reader.list(resources.priorityClasses, '') as readonly V1PriorityClass[]).filter(
    (priority) => priority.globalDefault,
  );
  // Should there be several after all, the least harmful one counts.
  return defaults.sort((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
}

function classOf(request: AdmissionRequest, pod: V1Pod, reader: AdmissionReader): V1PriorityClass | undefined {
  const name = pod.spec!.priorityClassName;
  if (!name) return defaultClass(reader);
  const found = reader.get(resources.priorityClasses, '', name) as V1PriorityClass | undefined;
  if (!found) throw refuse(request, `no PriorityClass with name ${name} was found`);
  return found;
}

function admitPod(request: AdmissionRequest, reader: AdmissionReader): void {
  const pod = request.object as unknown as V1Pod;
  const spec = pod.spec!;
  if (request.operation === 'UPDATE') {
    const old = (request.oldObject as unknown as V1Pod).spec;
    if (old?.priority !== undefined) spec.priority ??= old.priority;
    if (old?.preemptionPolicy !== undefined) spec.preemptionPolicy ??= old.preemptionPolicy;
    return;
  }
  const found = classOf(request, pod, reader);
  const value = found?.value ?? 0;
  const policy = found?.preemptionPolicy ?? 'PreemptLowerPriority';
  if (found?.metadata?.name) spec.priorityClassName = found.metadata.name;
  if (spec.priority !== undefined && spec.priority !== value) {
    throw refuse(
      request,
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
    );
  }
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
    throw refuse(
      request,
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`,
    );
  }
  spec.priority = value;
  spec.preemptionPolicy = policy;
}

/** Turns the name of a priority class into its number; keeps a single default class. */
export const priority: AdmissionPlugin = {
  name: 'Priority',
  admit(request, reader) {
    if (isPod(request, 'CREATE', 'UPDATE') && request.object) admitPod(request, reader);
  },
  validate(request, reader) {
    if (request.kind.resource !== 'priorityclasses' || request.kind.group !== 'scheduling.k8s.io') return;
    const proposed = request.object as V1PriorityClass | undefined;
    if (!proposed?.globalDefault) return;
    const other = defaultClass(reader)?.metadata?.name;
    if (other !== undefined && other !== proposed.metadata?.name) {
      throw refuse(request, `PriorityClass ${other} is already marked as default. Only one default can exist`);
    }
  },
};
