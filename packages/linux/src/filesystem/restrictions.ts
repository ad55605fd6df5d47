import { checked, libc } from '../libc.ts';

const statfs = libc.func('int statfs(const char *path, _Out_ uint8_t *buffer)');
/** `struct statfs` of 64-bit machines; statfs(2). */
const size = 120;
const flagsOffset = 80;

/** The flags of `f_flags` that take something away, by the names that mount(8) has for them. */
const restrictions = { ro: 1, nosuid: 2, nodev: 4, noexec: 8 } as const;

/** What must not be done where a path is: the options of its mount that say so (`ro`, `nosuid`, …). */
export function mountRestrictions(path: string): string[] {
  const buffer = Buffer.alloc(size);
  checked(statfs(path, buffer) as number, `look at the file system of ${path}`);
  const flags = buffer.readUInt32LE(flagsOffset);
  return Object.entries(restrictions).flatMap(([name, flag]) => ((flags & flag) === 0 ? [] : [name]));
}
