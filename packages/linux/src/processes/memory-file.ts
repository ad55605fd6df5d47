import { fstatSync, readSync } from 'node:fs';
import { checked, libc } from '../libc.ts';

const memfdCreate = libc.func('int memfd_create(const char *name, unsigned int flags)');
const closeOnExec = 0x1;
const allowSealing = 0x2;
const executable = 0x10; // Linux >= 6.3; older ones refuse it and make every file executable

/** An empty file in memory (memfd_create(2)), closed on exec. The caller closes it. */
export function openMemoryFile(name: string): number {
  return checked(memfdCreate(name, closeOnExec) as number, 'memfd_create');
}

/** One that programs can be run from and that can be sealed. */
export function openProgramFile(name: string): number {
  const made = memfdCreate(name, closeOnExec | allowSealing | executable) as number;
  return made >= 0 ? made : checked(memfdCreate(name, closeOnExec | allowSealing) as number, 'memfd_create');
}

/** All that is in a file now, wherever its descriptor stands. */
export function wholeFile(descriptor: number): Buffer {
  const content = Buffer.alloc(fstatSync(descriptor).size);
  return content.subarray(0, readSync(descriptor, content, 0, content.length, 0));
}
