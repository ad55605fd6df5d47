import type { V1ContainerStatus, V1Job, V1Pod, V1PodFailurePolicyRule } from '@wherry/api';

/** What a failed pod means for its job (KEP-3329). */
export interface PodVerdict {
  readonly action: 'FailJob' | 'FailIndex' | 'Ignore' | 'Count';
  /** Why, for `FailJob`. */
  readonly message: string;
}

const counts: PodVerdict = { action: 'Count', message: '' };

/** The first rule of the job's `podFailurePolicy` that a failed pod matches; without any it counts. Pure. */
export function verdictOn(job: V1Job, pod: V1Pod): PodVerdict {
  for (const [index, rule] of (job.spec?.podFailurePolicy?.rules ?? []).entries()) {
    const match = rule.onExitCodes ? matchingExit(rule.onExitCodes, pod) : matchingCondition(rule, pod);
    if (match === undefined) continue;
    const { namespace, name } = pod.metadata ?? {};
    const message = `${match.replace('%', `${namespace}/${name}`)} matching ${rule.action} rule at index ${index}`;
    return { action: rule.action as PodVerdict['action'], message };
  }
  return counts;
}

/** Why the job has to fail at once, by the first of its failed pods that says so. Pure. */
export function failJobMessage(job: V1Job, pods: readonly V1Pod[]): string | undefined {
  if (!job.spec?.podFailurePolicy) return undefined;
  for (const pod of pods) {
    if (pod.status?.phase !== 'Failed') continue;
    const { action, message } = verdictOn(job, pod);
    if (action === 'FailJob') return message;
  }
  return undefined;
}

function matchingExit(
  { containerName, operator, values }: NonNullable<V1PodFailurePolicyRule['onExitCodes']>,
  { status }: V1Pod,
): string | undefined {
  const all: readonly V1ContainerStatus[] = [
    ...(status?.containerStatuses ?? []),
    ...(status?.initContainerStatuses ?? []),
  ];
  for (const { name, state } of all) {
    const code = state?.terminated?.exitCode;
    // Success is never what a rule is about, also not for `NotIn`.
    if (code === undefined || code === 0 || (containerName ? name !== containerName : false)) continue;
    if (values.includes(code) === (operator === 'In'))
      return `Container ${name} for pod % failed with exit code ${code}`;
  }
  return undefined;
}

function matchingCondition(rule: V1PodFailurePolicyRule, { status }: V1Pod): string | undefined {
  for (const pattern of rule.onPodConditions ?? []) {
    const found = status?.conditions?.some(
      (one) => one.type === pattern.type && one.status === (pattern.status ?? 'True'),
    );
    if (found) return `Pod % has condition ${pattern.type}`;
  }
  return undefined;
}
