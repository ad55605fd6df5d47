import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, systemRandom, WherryError } from '@wherry/base';

/** Who holds a lock: a process id alone could have been given to another process since. */
interface Holder {
  readonly pid: number;
  /** Clock ticks from boot to the start of the process (proc(5), stat field 22). */
  readonly startTime: string;
  readonly bootId: string;
}

/**
 * Takes the lock file of a directory for this process; dispose to give it back. Throws `conflict`
 * naming the process that holds it. A lock whose holder is dead is taken over: the file is linked
 * into place whole, and a stale one is renamed away, so that of two takers one wins.
 */
export function lockDirectory(directory: string): Disposable {
  const path = join(directory, 'lock');
  const mine: Holder = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '', bootId: bootId() };
  const temporary = `${path}.${systemRandom.hex(8)}`;
  writeFileSync(temporary, JSON.stringify(mine), { flag: 'wx', mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 10; attempt++) {
      if (tryLink(temporary, path)) return { [Symbol.dispose]: () => rmSync(path, { force: true }) };
      const holder = readHolder(path);
      if (holder && isAlive(holder)) {
        throw new WherryError('conflict', `${directory} is in use by process ${holder.pid}`, {
          details: { pid: holder.pid },
        });
      }
      moveAway(path, holder);
    }
    throw new WherryError('conflict', `${directory} is being opened by other processes`);
  } finally {
    rmSync(temporary, { force: true });
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Removes a stale lock, and puts back what turns out to be somebody's fresh one. */
function moveAway(path: string, stale: Holder | undefined): void {
  const aside = `${path}.${systemRandom.hex(8)}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  const moved = readHolder(aside);
  if (moved && JSON.stringify(moved) !== JSON.stringify(stale)) tryLink(aside, path);
  rmSync(aside, { force: true });
}

function readHolder(path: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(path, 'utf8')) as Partial<Holder> | null;
    if (typeof holder?.pid !== 'number' || holder.pid <= 0) return undefined;
    return { pid: holder.pid, startTime: String(holder.startTime), bootId: String(holder.bootId) };
  } catch {
    return undefined;
  }
}

function isAlive(holder: Holder): boolean {
  return holder.bootId === bootId() && startTimeOf(holder.pid) === holder.startTime;
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in parentheses, may hold anything; the fields after it are numbers.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
