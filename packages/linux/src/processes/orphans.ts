import { existsSync, readFileSync } from 'node:fs';
import { checked, libc } from '../libc.ts';
import { isOwnChild, reap } from './spawn.ts';

const prctlCall = libc.func(
  'int prctl(int option, unsigned long two, unsigned long three, unsigned long four, unsigned long five)',
);
const waitidCall = libc.func('int waitid(int idtype, unsigned int id, void *information, int options)');
const setChildSubreaper = 36;
const byPid = 1;
const noHang = 1;
const hasExited = 4;
const leaveWaitable = 0x01000000;

let adopting = false;

/**
 * Makes this process the parent of descendants whose own parent ends (prctl(2), PR_SET_CHILD_SUBREAPER), and reaps
 * them when they end. Without it they are left to process 1, which in many containers reaps nothing: and the first
 * process of a process namespace cannot end before every other one of it is reaped (pid_namespaces(7)).
 *
 * Children that `spawnProgram` started and those of Node's own `child_process` (they stay in the session of this
 * process) are not touched. It holds for the life of the process: what was once adopted is reaped by nobody else.
 * Idempotent. Does nothing on a kernel without CONFIG_PROC_CHILDREN.
 */
export function adoptOrphans(): void {
  if (adopting || !existsSync(childrenFile())) return;
  adopting = true;
  checked(prctlCall(setChildSubreaper, 1, 0, 0, 0) as number, 'prctl PR_SET_CHILD_SUBREAPER');
  process.on('SIGCHLD', reapOrphans);
}

/** The kernel gives orphans to the first thread. */
const childrenFile = (): string => `/proc/self/task/${process.pid}/children`;

/** One signal may stand for the ends of several children. */
function reapOrphans(): void {
  const own = stateOf(process.pid)?.session;
  for (const pid of readFileSync(childrenFile(), 'utf8').trim().split(' ').map(Number)) {
    if (pid === 0 || isOwnChild(pid) || !hasEnded(pid)) continue;
    const child = stateOf(pid);
    if (child?.state === 'Z' && child.session !== own) reap(pid);
  }
}

/** A call for each monitor that runs on; its files in /proc would be many times that. */
function hasEnded(pid: number): boolean {
  const information = Buffer.alloc(128); // siginfo_t; its first member is 0 when there is nothing to tell
  return (
    waitidCall(byPid, pid, information, hasExited | noHang | leaveWaitable) === 0 && information.readInt32LE() !== 0
  );
}

function stateOf(pid: number): { readonly state: string; readonly session: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state = '', , , session] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state, session: Number(session) };
  } catch {
    return undefined; // reaped meanwhile
  }
}
