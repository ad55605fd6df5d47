import type { RestartPolicy } from '../config/types.ts';

const firstDelay = 100;
const longestDelay = 60_000;
/** A run of this length begins the delays anew. */
const longRun = 10_000;

export interface RunEnd {
  readonly exitCode: number;
  /** A user ended it, or began to. */
  readonly stopped: boolean;
  readonly restartCount: number;
}

/** Whether a policy starts a container again after a run of it has ended. */
export function restarts(policy: RestartPolicy, { exitCode, stopped, restartCount }: RunEnd): boolean {
  if (stopped) return false;
  switch (policy.Name) {
    case 'always':
    case 'unless-stopped':
      return true;
    case 'on-failure':
      return exitCode !== 0 && (policy.MaximumRetryCount === 0 || restartCount < policy.MaximumRetryCount);
    default:
      return false;
  }
}

/** The wait before the next start, in ms: doubled after each short run. */
export function nextDelay(delay: number, ranFor: number): number {
  if (delay === 0 || ranFor >= longRun) return firstDelay;
  return Math.min(delay * 2, longestDelay);
}
