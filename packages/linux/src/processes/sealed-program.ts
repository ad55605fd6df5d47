import { closeSync, readFileSync, writeSync } from 'node:fs';
import { checked, libc } from '../libc.ts';
import { openProgramFile } from './memory-file.ts';

const fcntl = libc.func('fcntl', 'int', ['int', 'int', 'int']);
const addSeals = 1033; // F_ADD_SEALS
const allSeals = 0xf; // seal, shrink, grow, write

/** A program's file in memory that nobody can change any more. */
export interface SealedProgram extends Disposable {
  /** Runs it, for as long as this process lives and until it is disposed. */
  readonly path: string;
}

/**
 * Copies a program into a sealed memory file (memfd_create(2)). OCI runtimes make such a copy of themselves at each
 * start and run again from that, so that no container can write to the host's program through `/proc/PID/exe`
 * (CVE-2019-5736); one that is started from a sealed file goes on at once.
 */
export function sealProgram(program: string): SealedProgram {
  const content = readFileSync(program);
  const descriptor = openProgramFile('program');
  try {
    for (let written = 0; written < content.length; ) written += writeSync(descriptor, content, written);
    checked(fcntl(descriptor, addSeals, allSeals) as number, 'seal a memory file');
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  return {
    path: `/proc/${process.pid}/fd/${descriptor}`,
    [Symbol.dispose]: () => closeSync(descriptor),
  };
}
