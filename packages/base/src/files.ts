import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemRandom } from './random.ts';

/**
 * Replaces a file so that a crash leaves the old content or the new one, whole: temporary file,
 * fsync, rename, fsync of the folder.
 */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array,
  { mode = 0o600, sync = true }: { mode?: number; sync?: boolean } = {},
): Promise<void> {
  const temporary = `${path}.${systemRandom.hex(8)}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(content);
      if (sync) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (sync) await syncFolder(dirname(path));
}

/** Resolves when a power cut leaves the folder with the names that it has now. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
