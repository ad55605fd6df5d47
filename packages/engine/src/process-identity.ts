import { readFileSync } from 'node:fs';
import { processStartTime } from '@wherry/linux';
import type { ProcessIdentity } from './state/records.ts';

/** `undefined` when there is no such process. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const startTime = processStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** The process number in a file. */
export function pidIn(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

/** A number that a crash left behind may be another process' by now. */
export function isMonitorOf(id: string, pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`--cid=${id}`);
  } catch {
    return false;
  }
}
