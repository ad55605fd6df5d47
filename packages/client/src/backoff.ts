/** Milliseconds for the `failures`-th failure in a row (from 1): exponential from `base`, at most `limit`. */
export function backoffDelay(failures: number, base: number, limit: number): number {
  return Math.min(base * 2 ** Math.min(Math.max(failures - 1, 0), 52), limit);
}
