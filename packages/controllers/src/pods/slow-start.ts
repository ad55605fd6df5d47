/**
 * Runs `count` steps in batches of 1, 2, 4 … and stops after a batch with a failure, so that a quota
 * or webhook that refuses everything is asked once, not a thousand times. Gives the first failure.
 */
export async function slowStart(
  count: number,
  step: (index: number) => Promise<void>,
): Promise<{ readonly done: number; readonly error: unknown }> {
  let done = 0;
  for (let size = 1; done < count; size *= 2) {
    const batch = Math.min(size, count - done);
    const start = done;
    const results = await Promise.allSettled(Array.from({ length: batch }, (_, index) => step(start + index)));
    const failures = results.filter((result) => result.status === 'rejected');
    done += batch - failures.length;
    if (failures.length > 0) return { done, error: failures[0]!.reason };
  }
  return { done, error: undefined };
}
