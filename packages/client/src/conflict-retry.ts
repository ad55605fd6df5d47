import { codeOf } from '@wherry/base';

/** Runs `attempt` again, up to `tries` times at once, while it fails with `conflict`. `attempt` must read afresh. */
export async function retryOnConflict<T>(attempt: () => Promise<T>, tries = 5): Promise<T> {
  for (let left = tries; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (codeOf(error) !== 'conflict' || left <= 1) throw error;
    }
  }
}
