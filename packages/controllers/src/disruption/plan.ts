import { scaledValue, type V1Pod, type V1PodDisruptionBudget, type V1PodDisruptionBudgetStatus } from '@wherry/api';
import { millisOf } from '@wherry/client';
import { withCondition } from '../conditions.ts';
import { isReady } from '../pods/pod-facts.ts';

/** How long an eviction that was granted may take to show (ms); after that the pod counts again. */
const evictionTime = 120_000;

/** How many pods a budget counts on, and how many of them must stay healthy. */
export interface Expected {
  readonly pods: number;
  readonly healthy: number;
}

/** Whether the budget needs to know how many pods the controllers want: a number of available ones speaks for itself. */
export function needsScale({ spec }: V1PodDisruptionBudget): boolean {
  return spec?.maxUnavailable !== undefined || typeof spec?.minAvailable === 'string';
}

/** `scale` is what the controllers of the pods want together, where `needsScale`; else the pods there are. Pure. */
export function expectedOf({ spec }: V1PodDisruptionBudget, scale: number): Expected {
  if (spec?.maxUnavailable !== undefined)
    return { pods: scale, healthy: Math.max(0, scale - scaledValue(spec.maxUnavailable, scale, true)) };
  return { pods: scale, healthy: scaledValue(spec?.minAvailable ?? 1, scale, true) };
}

/** What evictions were granted and have not happened yet. */
export interface Granted {
  /** Pod name to the time of the grant. */
  readonly pods: Readonly<Record<string, string>>;
  /** Pods that should be gone by now and are not. */
  readonly overdue: readonly V1Pod[];
  /** When (ms) the next grant runs out. */
  readonly next: number | undefined;
}

/** Keeps the grants of pods that are still there and not being deleted yet. Pure. */
export function grantedOf(budget: V1PodDisruptionBudget, pods: readonly V1Pod[], now: number): Granted {
  const left: Record<string, string> = {};
  const overdue: V1Pod[] = [];
  let next: number | undefined;
  for (const pod of pods) {
    const name = pod.metadata?.name ?? '';
    const granted = budget.status?.disruptedPods?.[name] as string | undefined;
    if (granted === undefined || pod.metadata?.deletionTimestamp) continue;
    const end = (millisOf(granted) ?? 0) + evictionTime;
    if (end <= now) {
      overdue.push(pod);
      continue;
    }
    left[name] = granted;
    next = Math.min(next ?? end, end);
  }
  return { pods: left, overdue, next };
}

/** The budget's status: how many pods may be evicted now. Pure. */
export function budgetStatus(
  budget: V1PodDisruptionBudget,
  pods: readonly V1Pod[],
  expected: Expected,
  granted: Granted['pods'],
  now: number,
): V1PodDisruptionBudgetStatus {
  const healthy = pods.filter(
    (pod) => !pod.metadata?.deletionTimestamp && granted[pod.metadata?.name ?? ''] === undefined && isReady(pod),
  ).length;
  const allowed = expected.pods === 0 ? 0 : Math.max(0, healthy - expected.healthy);
  return {
    ...ofGeneration(budget),
    conditions: allowedCondition(budget, allowed > 0 ? 'SufficientPods' : 'InsufficientPods', '', now),
    currentHealthy: healthy,
    desiredHealthy: expected.healthy,
    ...(Object.keys(granted).length > 0 ? { disruptedPods: granted as never } : {}),
    disruptionsAllowed: allowed,
    expectedPods: expected.pods,
  };
}

/** The status when it cannot be told how many pods there should be: nothing may be evicted. Pure. */
export function closedStatus(budget: V1PodDisruptionBudget, problem: string, now: number): V1PodDisruptionBudgetStatus {
  const counters = { currentHealthy: 0, desiredHealthy: 0, expectedPods: 0, ...budget.status };
  const conditions = allowedCondition(budget, 'SyncFailed', problem, now);
  return { ...counters, ...ofGeneration(budget), conditions, disruptionsAllowed: 0 };
}

function ofGeneration({ metadata }: V1PodDisruptionBudget): Pick<V1PodDisruptionBudgetStatus, 'observedGeneration'> {
  return metadata?.generation === undefined ? {} : { observedGeneration: metadata.generation };
}

function allowedCondition(
  budget: V1PodDisruptionBudget,
  reason: 'SufficientPods' | 'InsufficientPods' | 'SyncFailed',
  message: string,
  now: number,
): NonNullable<V1PodDisruptionBudgetStatus['conditions']> {
  const wanted = {
    type: 'DisruptionAllowed',
    status: reason === 'SufficientPods' ? 'True' : 'False',
    reason,
    message,
    lastTransitionTime: '',
    ...ofGeneration(budget),
  };
  const conditions = withCondition(budget.status?.conditions ?? [], wanted, now);
  return conditions.map((one) => (one.type === wanted.type ? { ...one, ...ofGeneration(budget) } : one));
}
