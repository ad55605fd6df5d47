import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { ProcessHandle } from '@wherry/linux';

/**
 * Ends what is still at work to create a container after the daemon that began it was killed: a monitor of whose
 * process number there is no record yet (it goes on when its start pipe closes), and the OCI runtime below it.
 * Resolves when they are gone.
 */
export async function endStartersOf(id: string): Promise<void> {
  // Twice without one: a monitor may have forked and ended while the first look passed by.
  for (let quiet = 0; quiet < 2; quiet++) {
    for (const pid of startersOf(id)) {
      quiet = -1;
      using handle = ProcessHandle.open(pid);
      // Its number may be another process' by now.
      if (handle === undefined || !isStarterOf(id, pid)) continue;
      handle.kill('SIGKILL');
      await handle.ended;
    }
  }
}

function startersOf(id: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && isStarterOf(id, pid));
}

/** Processes of this process namespace only: what runs in a container may call itself anything. */
function isStarterOf(id: string, pid: number): boolean {
  try {
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    if (!args.some((argument) => argument === id || argument === `--cid=${id}`)) return false;
    if (readlinkSync(`/proc/${pid}/ns/pid`) !== readlinkSync('/proc/self/ns/pid')) return false;
    return basename(args[0] ?? '') === 'conmon' || args.includes('create');
  } catch {
    return false; // it ended meanwhile
  }
}
