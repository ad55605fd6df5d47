import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { errnoOf, WherryError } from '@wherry/base';

/** Writes a control file; the kernel's refusal becomes an error that names file and value, in runc's words. */
export function writeControl(file: string, value: string): void {
  try {
    // No O_CREAT: a missing file means that the controller is missing.
    writeFileSync(file, value, { flag: 'r+' });
  } catch (error) {
    throw refused(error, file, value);
  }
}

/** The same for values over which the kernel takes its time: the event loop goes on meanwhile. */
export async function writeControlApart(file: string, value: string): Promise<void> {
  try {
    await writeFile(file, value, { flag: 'r+' });
  } catch (error) {
    throw refused(error, file, value);
  }
}

function refused(error: unknown, file: string, value: string): WherryError {
  const errno = errnoOf(error) ?? 'unknown';
  const code = errno === 'ENOENT' ? 'notFound' : errno === 'EBUSY' ? 'conflict' : 'invalid';
  const { errno: number } = error as { errno?: number };
  const text = (number === undefined ? undefined : getSystemErrorMap().get(number)?.[1]) ?? errno;
  return new WherryError(code, `failed to write ${JSON.stringify(value)}: write ${file}: ${text}`, {
    cause: error,
    details: { errno },
  });
}

/** The content of a control file, trimmed; `undefined` when it or its group is not there. */
export function readControl(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENODEV') return undefined;
    throw error;
  }
}

/** A number of a control file; 0 when it is not there. `max` is Infinity. */
export function readNumber(file: string): number {
  const text = readControl(file);
  return text === undefined ? 0 : text === 'max' ? Number.POSITIVE_INFINITY : Number(text);
}

/** A field of a flat-keyed file (`memory.stat`, `cpu.stat`). */
export function readField(file: string, key: string): string | undefined {
  for (const line of readControl(file)?.split('\n') ?? [])
    if (line.startsWith(`${key} `)) return line.slice(key.length + 1);
  return undefined;
}

/** The folder and all groups below it, deepest first. */
export function groupsBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const below: string[] = [];
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) below.push(...groupsBelow(join(folder, entry.name)));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error; // removed meanwhile
  }
  return [...below, folder];
}

/** Removes a group and those below it; false when one is in use. */
export function removeGroups(folder: string): boolean {
  for (const group of groupsBelow(folder)) {
    try {
      rmdirSync(group);
    } catch (error) {
      if (errnoOf(error) === 'EBUSY' || errnoOf(error) === 'ENOTEMPTY') return false;
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  return true;
}

/** Processes of a group and of those below it. */
export function processesBelow(folder: string): number[] {
  const pids = new Set<number>();
  for (const group of groupsBelow(folder))
    for (const line of readControl(join(group, 'cgroup.procs'))?.split('\n') ?? [])
      if (line !== '' && line !== '0') pids.add(Number(line));
  return [...pids];
}

/** Sends SIGKILL to what `list` gives until it gives nothing new. */
export function killEach(list: () => number[]): number {
  const killed = new Set<number>();
  for (;;) {
    const fresh = list().filter((pid) => !killed.has(pid));
    if (fresh.length === 0) return killed.size;
    for (const pid of fresh) {
      killed.add(pid);
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if (errnoOf(error) !== 'ESRCH') throw error;
      }
    }
  }
}
