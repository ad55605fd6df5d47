import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import {
  closeQuietly,
  findProgram,
  openPipe,
  processStartTime,
  runProgram,
  spawnProgram,
  streamOfDescriptor,
} from '@wherry/linux';
import type { ProcessIdentity } from './state/records.ts';

/**
 * Process 1 of a process namespace that a pod's containers share. Nothing is compiled or downloaded
 * for it: util-linux' `unshare` makes the namespace, coreutils' `cat` is its first process, asleep in
 * the opening of a FIFO that nobody writes. It ignores SIGCHLD, so the kernel reaps the orphans that
 * it inherits; and as process 1 it takes no signal from inside.
 */
export async function startPodInit(folder: string, place: (pid: number) => void): Promise<ProcessIdentity> {
  const greeting = join(folder, 'init');
  const never = join(folder, 'never');
  writeFileSync(greeting, '.');
  const made = await runProgram({ path: findProgram('mkfifo'), args: ['-m', '600', never] });
  if (made.exitCode !== 0) throw new WherryError('unavailable', `mkfifo: ${made.stderr.toString().trim()}`);
  const ready = openPipe();
  let parent: number;
  try {
    const child = spawnProgram({
      path: findProgram('unshare'),
      args: [
        '--pid',
        '--fork',
        '--kill-child=SIGKILL',
        '--',
        findProgram('env'),
        '--ignore-signal=CHLD',
        findProgram('cat'),
        greeting,
        never,
      ],
      descriptors: { 1: ready.write },
      newSession: true,
    });
    child.exited.catch(() => undefined);
    parent = child.pid;
  } catch (error) {
    closeQuietly(ready.read);
    throw error;
  } finally {
    closeQuietly(ready.write);
  }
  // The byte says that the process runs inside; an end without one that it could not.
  const stream = streamOfDescriptor(ready.read, { writable: false });
  const arrived = await new Promise<boolean>((resolve) => {
    stream
      .once('data', () => resolve(true))
      .once('end', () => resolve(false))
      .once('error', () => resolve(false));
  });
  stream.destroy();
  const pid = arrived ? Number(readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim()) : 0;
  const startTime = pid > 0 ? processStartTime(pid) : undefined;
  if (startTime === undefined)
    throw new WherryError('unavailable', 'the process namespace of the pod could not be made');
  place(parent);
  place(pid);
  return { pid, startTime };
}
