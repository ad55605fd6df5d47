import { closeSync } from 'node:fs';
import { checked, libc } from '../libc.ts';

const pipe2 = libc.func('int pipe2(void *descriptors, int flags)');
const fcntl = libc.func('fcntl', 'int', ['int', 'int', 'long']);
const closeOnExec = 0o2000000;
const duplicateCloseOnExec = 1030; // F_DUPFD_CLOEXEC

/** select(2) takes descriptors below this number; for others the C library ends the process (FD_SETSIZE). */
export const selectable = 1024;

/** The two ends of a pipe, both closed on exec. The caller closes them. */
export interface PipeEnds {
  readonly read: number;
  readonly write: number;
}

export function openPipe(): PipeEnds {
  const ends = Buffer.alloc(8);
  checked(pipe2(ends, closeOnExec) as number, 'pipe2');
  return { read: ends.readInt32LE(0), write: ends.readInt32LE(4) };
}

/** A second descriptor (at least `lowest`) for the same open file, closed on exec. */
export function duplicateDescriptor(descriptor: number, lowest = 3): number {
  return checked(fcntl(descriptor, duplicateCloseOnExec, lowest) as number, `duplicate descriptor ${descriptor}`);
}

/** Moves a descriptor that is kept for long out of the low numbers, if the process may have higher ones: its new number. */
export function beyondSelect(descriptor: number): number {
  const moved = fcntl(descriptor, duplicateCloseOnExec, selectable) as number;
  if (moved < 0) return descriptor;
  closeSync(descriptor);
  return moved;
}

/** Closes without complaint what may be closed already. */
export function closeQuietly(...descriptors: (number | undefined)[]): void {
  for (const descriptor of descriptors) {
    if (descriptor === undefined) continue;
    try {
      closeSync(descriptor);
    } catch {
      // EBADF: closed by its other owner.
    }
  }
}
