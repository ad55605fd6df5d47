import { sleep } from '@wherry/base';
import type { EngineContext } from './context.ts';

/**
 * Kills what is in a cgroup and removes it. The kernel gives no event (version 1) for the moment when
 * a killed process has left its group, so the removal is tried again for at most two seconds. It is left alone from the
 * moment on in which it `isUsed` by others.
 */
export async function killAndRemoveCgroup(
  context: EngineContext,
  path: string,
  isUsed: () => boolean = () => false,
): Promise<void> {
  for (let wait = 1; wait < 1000; wait *= 2) {
    if (isUsed()) return;
    context.cgroups.kill(path);
    if (context.cgroups.remove(path)) return;
    await sleep(context.clock, wait);
  }
  context.log.warn('a cgroup could not be removed', { cgroup: path, processes: context.cgroups.processes(path) });
}

/** Freezes what is in a cgroup. A process that waits in the kernel may hold that up: not for more than two seconds. */
export async function freezeCgroup(context: EngineContext, path: string): Promise<void> {
  context.cgroups.freeze(path, true);
  for (let wait = 1; wait < 1000 && !context.cgroups.isStill(path); wait *= 2) await sleep(context.clock, wait);
}
