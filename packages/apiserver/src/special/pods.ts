import {
  type ApiObject,
  badRequestError,
  conflictError,
  labelSelector,
  notFoundError,
  statusError,
  type V1Pod,
  type V1PodDisruptionBudget,
} from '@wherry/api';
import type { Core } from '../pipeline/core.ts';
import { type DeletionOptions, deleteObject } from '../pipeline/delete.ts';
import { timestamp } from '../pipeline/metadata.ts';
import { modifyObject } from '../pipeline/modify.ts';
import { getObject } from '../pipeline/read.ts';
import type { RequestOptions, Target } from '../pipeline/request.ts';
import { copyJson } from '../registry/json.ts';
import type { SubresourceAnswer } from './subresources.ts';

/** The `Status` of something that was done and has nothing to show. */
export function success(code = 201): SubresourceAnswer {
  return { object: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code }, code };
}

interface Binding extends ApiObject {
  target?: { kind?: string; name?: string };
}

/** `POST pods/x/binding`: assigns a pod to a node once. Error 409 when it has one, or is being deleted. */
export async function bindPod(
  core: Core,
  target: Target,
  body: unknown,
  options: RequestOptions,
): Promise<SubresourceAnswer> {
  const binding = body as Binding;
  const node = binding.target?.name;
  if (!node) throw badRequestError('Binding is invalid: target.name: Required value');
  const kind = binding.target?.kind;
  if (kind !== undefined && kind !== '' && kind !== 'Node') {
    throw badRequestError(
      `Binding is invalid: target.kind: Unsupported value: ${JSON.stringify(kind)}: supported values: "Node", "<empty>"`,
    );
  }
  await modifyObject(
    core,
    { ...target, subresource: 'binding' },
    {
      part: 'unchecked',
      keepsGeneration: true,
      produce: (live) => bound(core, target, live.object as V1Pod, node, binding),
    },
    options,
  );
  return success();
}

function bound(core: Core, target: Target, live: V1Pod, node: string, binding: Binding): ApiObject {
  const wanted = binding.metadata?.uid;
  if (wanted && wanted !== live.metadata!.uid) {
    throw conflictError(
      target.kind,
      target.name,
      `Precondition failed: UID in precondition: ${wanted}, UID in object meta: ${live.metadata!.uid}`,
    );
  }
  const refuse = (why: string): Error => conflictError({ group: '', resource: 'pods/binding' }, target.name, why);
  if (live.metadata!.deletionTimestamp)
    throw refuse(`pod ${target.name} is being deleted, cannot be assigned to a host`);
  if (live.spec!.nodeName) {
    throw refuse(`pod ${target.name} is already assigned to node ${JSON.stringify(live.spec!.nodeName)}`);
  }
  if ((live.spec!.schedulingGates?.length ?? 0) > 0) {
    throw refuse(`pod ${target.name} has non-empty .spec.schedulingGates`);
  }
  const pod = copyJson(live);
  pod.spec!.nodeName = node;
  const annotations = binding.metadata?.annotations;
  if (annotations !== undefined) {
    pod.metadata!.annotations = { ...pod.metadata!.annotations, ...annotations } as Record<string, string>;
  }
  const now = timestamp(core.clock.now());
  pod.status ??= {};
  const others = (pod.status.conditions ?? []).filter((condition) => condition.type !== 'PodScheduled');
  const generation = pod.metadata!.generation;
  pod.status.conditions = [
    ...others,
    {
      type: 'PodScheduled',
      status: 'True',
      lastProbeTime: null as unknown as undefined,
      lastTransitionTime: now,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    },
  ];
  delete pod.metadata!.resourceVersion;
  return pod as ApiObject;
}

interface Eviction extends ApiObject {
  deleteOptions?: DeletionOptions & { readonly dryRun?: readonly string[] };
}

/** `POST pods/x/eviction`: deletes a pod if the disruption budgets allow it. Error 429 when they do not. */
export async function evictPod(
  core: Core,
  target: Target,
  body: unknown,
  options: RequestOptions,
): Promise<SubresourceAnswer> {
  const eviction = body as Eviction;
  if (eviction.metadata?.name && eviction.metadata.name !== target.name) {
    throw badRequestError(
      `name in URL does not match name in Eviction object: ${target.name} != ${eviction.metadata.name}`,
    );
  }
  const pod = getObject(core, { ...target, subresource: '' }).object as V1Pod;
  const { dryRun = [], ...deletion } = eviction.deleteOptions ?? {};
  // `kubectl drain --dry-run=server` asks in the body.
  const asked = { ...options, dryRun: options.dryRun || dryRun.includes('All') };
  if (!isDisposable(pod)) await spendBudget(core, pod, asked);
  await deleteObject(core, { ...target, subresource: '' }, deletion, asked);
  return success();
}

/** Pods that count in no budget: over, never run, or already leaving. */
function isDisposable(pod: V1Pod): boolean {
  const phase = pod.status?.phase;
  return (
    phase === 'Succeeded' || phase === 'Failed' || phase === 'Pending' || pod.metadata!.deletionTimestamp !== undefined
  );
}

async function spendBudget(core: Core, pod: V1Pod, options: RequestOptions): Promise<void> {
  const namespace = pod.metadata!.namespace!;
  const labels = pod.metadata!.labels as Readonly<Record<string, string>> | undefined;
  const budgets = core.reader
    .list({ group: 'policy', resource: 'poddisruptionbudgets' }, namespace)
    .filter((budget) => labelSelector((budget as V1PodDisruptionBudget).spec?.selector).matches(labels));
  if (budgets.length === 0) return;
  if (budgets.length > 1) {
    throw statusError(
      'internal',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  }
  const ready = pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
  const budget = budgets[0] as V1PodDisruptionBudget;
  if (!ready && mayGoUnready(budget)) return;
  const kind = core.catalog.find('policy', 'v1', 'poddisruptionbudgets');
  if (kind === undefined) throw notFoundError({ group: 'policy', resource: 'poddisruptionbudgets' }, '');
  const name = budget.metadata!.name!;
  await modifyObject(
    core,
    { kind, namespace, name, subresource: 'status' },
    {
      part: 'status',
      produce: (live) => {
        const draft = copyJson(live.object) as V1PodDisruptionBudget;
        const { status } = draft;
        if (status === undefined || (status.observedGeneration ?? 0) < (draft.metadata!.generation ?? 0)) {
          throw tooMany(`The disruption budget ${name} is still being processed by the server.`, pod, 10);
        }
        if ((status.disruptionsAllowed ?? 0) <= 0) {
          throw tooMany(
            `The disruption budget ${name} needs ${status.desiredHealthy ?? 0} healthy pods and has ${status.currentHealthy ?? 0} currently`,
            pod,
          );
        }
        status.disruptionsAllowed = (status.disruptionsAllowed ?? 0) - 1;
        status.disruptedPods = { ...status.disruptedPods, [pod.metadata!.name!]: timestamp(core.clock.now()) } as never;
        delete draft.metadata!.resourceVersion;
        return draft as ApiObject;
      },
    },
    options,
  );
}

/** A pod that is not ready disturbs nobody as long as enough others are (KEP-3017). */
function mayGoUnready({ spec, status }: V1PodDisruptionBudget): boolean {
  if (spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = status ?? {};
  return desiredHealthy > 0 && currentHealthy >= desiredHealthy;
}

function tooMany(detail: string, pod: V1Pod, retryAfterSeconds?: number): Error {
  void pod;
  return statusError('unavailable', "Cannot evict pod as it would violate the pod's disruption budget.", {
    reason: 'TooManyRequests',
    code: 429,
    details: {
      causes: [{ reason: 'DisruptionBudget', message: detail }],
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    },
  });
}
