import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { libc, systemError } from '../libc.ts';

const syncCall = libc.func('int syncfs(int fd)');
const sync = promisify(syncCall.async) as (fd: number) => Promise<number>;

/** Resolves once all that was written to the file system of a folder is on its disk. Does not block. */
export async function syncFileSystem(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    // What errno a call has left is not known on another thread; the disk is at fault.
    if ((await sync(handle.fd)) < 0) throw systemError(`syncfs ${folder}`, 'EIO');
  } finally {
    await handle.close();
  }
}
