import { copyFileSync, fstatSync, ftruncateSync, readlinkSync, writeSync } from 'node:fs';

/** The file is begun anew when it is this long (bytes); one older part is kept beside it. */
const longestLog = 16 * 1024 * 1024;

/**
 * Writes log lines to an open file. A regular file stays within a bound: its content moves to `NAME.1` in
 * place of what was there. The file was opened for appending, so that whoever follows it goes on. On a
 * full disk a line is lost, not the daemon.
 */
export function logWriter(descriptor: number, limit = longestLog): (line: string) => void {
  let size = sizeOf(descriptor);
  return (line) => {
    try {
      const written = writeSync(descriptor, line);
      if (size === undefined) return;
      size += written;
      if (size < limit) return;
      size = 0;
      turn(descriptor);
    } catch {}
  };
}

/** `undefined` for what is no regular file: a terminal, a pipe. */
function sizeOf(descriptor: number): number | undefined {
  try {
    const status = fstatSync(descriptor);
    return status.isFile() ? status.size : undefined;
  } catch {
    return undefined;
  }
}

function turn(descriptor: number): void {
  try {
    const path = readlinkSync(`/proc/self/fd/${descriptor}`);
    copyFileSync(path, `${path}.1`);
  } finally {
    // Without room for the older part it is given up: the bound holds.
    ftruncateSync(descriptor, 0);
  }
}
