import { timeText } from '@wherry/api';

/** The part that conditions of all kinds share. */
export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly lastTransitionTime?: string | undefined;
  readonly lastUpdateTime?: string | undefined;
}

/** The condition of a type. */
export function conditionOf<T extends Condition>(conditions: readonly T[] | undefined, type: string): T | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/**
 * Conditions with one set: nothing changes when status and reason are the same; the transition time
 * stays when only the reason does. `now` in ms.
 */
export function withCondition<T extends Condition>(conditions: readonly T[], wanted: T, now: number): T[] {
  const old = conditionOf(conditions, wanted.type);
  if (old && old.status === wanted.status && old.reason === wanted.reason && old.message === wanted.message)
    return [...conditions];
  const time = timeText(now);
  const transition = old?.status === wanted.status ? (old.lastTransitionTime ?? time) : time;
  const next = { ...wanted, lastTransitionTime: transition };
  return [...conditions.filter(({ type }) => type !== wanted.type), next];
}

/** Conditions without those of a type. */
export function withoutCondition<T extends Condition>(conditions: readonly T[], type: string): T[] {
  return conditions.filter((condition) => condition.type !== type);
}
