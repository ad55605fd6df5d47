import type { RestartPolicy } from '../config/types.ts';

const firstDelay = 100;
const longestDelay = 60_000;
/** A run of this length begins the delays anew. */
const longRun = 10_000;

export interface RunEnd {
  readonly exitCode: number;
  /** Somebody asked for this end. */
  readonly stopping: boolean;
  /** A user has sent it a signal since its last start, whether it ended by it or not. */
  readonly manuallyStopped: boolean;
  readonly restartCount: number;
}

/** Whether a policy starts a container again after a run of it has ended, as dockerd's restart manager decides. */
export function restarts(
  policy: RestartPolicy,
  { exitCode, stopping, manuallyStopped, restartCount }: RunEnd,
): boolean {
  if (stopping) return false;
  switch (policy.Name) {
    case 'always':
      return true;
    case 'unless-stopped':
      return !manuallyStopped;
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
