import type { V1Pod, V1PodCondition, V1PodStatus } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { type ApiClient, equalJson, resources } from '@wherry/client';

/**
 * The strategic merge patch that turns the status of a pod into another: only what differs, and of
 * the conditions only our own (others write theirs). `undefined` when nothing differs.
 */
export function statusPatch(old: V1PodStatus | undefined, status: V1PodStatus): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {};
  const before = (old ?? {}) as Record<string, unknown>;
  for (const key of ownFields) {
    const value = (status as Record<string, unknown>)[key];
    if (key === 'conditions' || equalJson(before[key] ?? null, value ?? null)) continue;
    // Lists of addresses merge by address: the marker replaces them whole.
    if (value === undefined) patch[key] = null;
    else patch[key] = key === 'podIPs' || key === 'hostIPs' ? [...(value as unknown[]), { $patch: 'replace' }] : value;
  }
  const conditions = (status.conditions ?? []).filter(
    (condition) => !equalJson(bare(condition), bare(find(old, condition.type))),
  );
  if (conditions.length > 0) {
    patch.conditions = conditions.map((condition) => ({ ...gone(find(old, condition.type)), ...condition }));
    const others = (old?.conditions ?? []).filter(({ type }) => !status.conditions?.some((own) => own.type === type));
    patch['$setElementOrder/conditions'] = [...(status.conditions ?? []), ...others].map(({ type }) => ({ type }));
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

const ownFields = [
  'conditions',
  'containerStatuses',
  'ephemeralContainerStatuses',
  'hostIP',
  'hostIPs',
  'initContainerStatuses',
  'message',
  'observedGeneration',
  'phase',
  'podIP',
  'podIPs',
  'qosClass',
  'reason',
  'startTime',
] as const satisfies readonly (keyof V1PodStatus)[];

function find(status: V1PodStatus | undefined, type: string): V1PodCondition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** Conditions merge by their type: words that no longer hold go only when told so. */
function gone(old: V1PodCondition | undefined): Record<string, null> {
  return {
    ...(old?.message === undefined ? {} : { message: null }),
    ...(old?.reason === undefined ? {} : { reason: null }),
  };
}

/** A condition without what the API server alone fills in. */
function bare(condition: V1PodCondition | undefined): unknown {
  if (condition === undefined) return undefined;
  const { lastProbeTime: _probe, ...rest } = condition;
  return rest;
}

/** Writes a pod's status when it differs from what the API has. Gives the newest object; `undefined` when the pod is no longer there. */
export async function writePodStatus(client: ApiClient, pod: V1Pod, status: V1PodStatus): Promise<V1Pod | undefined> {
  const patch = statusPatch(pod.status, status);
  if (patch === undefined) return pod;
  const { name = '', namespace, uid } = pod.metadata ?? {};
  try {
    const body = { metadata: { uid }, status: patch };
    return await client.patch<V1Pod>(resources.pods, { namespace, name }, 'strategic', body, { subresource: 'status' });
  } catch (error) {
    // A conflict here means another uid: the pod was replaced by one of the same name.
    if (codeOf(error) === 'notFound' || codeOf(error) === 'conflict') return undefined;
    throw error;
  }
}
