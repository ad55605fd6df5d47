import { libc } from '../libc.ts';

let trim: { async(pad: number, done: (error: unknown, released: number) => void): void } | undefined;

/**
 * Gives the pages that the C library's allocator holds free back to the kernel, on another thread: glibc keeps
 * them otherwise, as holes between what is in use (malloc_trim(3)). Does nothing on another C library.
 */
export async function releaseFreeMemory(): Promise<void> {
  try {
    trim ??= libc.func('int malloc_trim(size_t pad)');
  } catch {
    return;
  }
  const call = trim;
  await new Promise<void>((resolve) => call.async(0, () => resolve()));
}
