import { readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Looks, 1 ms apart; it takes some tenths of one. */
const mostLooks = 50;

/** What a process runs, as `/proc` names it. `undefined` for one that is gone or is the kernel's. */
export function programOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

/**
 * Resolves when a container's first process runs its command and not the OCI runtime any more, which it was `before`, or
 * has ended. A signal that comes earlier is lost: the first process of a process namespace takes none that it has no
 * handler for (pid_namespaces(7)), and a stop would wait for its whole grace time.
 */
export async function executed(pid: number, before: string | undefined): Promise<void> {
  if (before === undefined) return;
  for (let look = 0; look < mostLooks && programOf(pid) === before; look++) await delay(1);
}
