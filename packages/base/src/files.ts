import { mkdir, open, rename, rm } from 'node:fs/promises';
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
  if (sync) await syncPath(dirname(path));
}

/** Resolves when a power cut leaves the file with its content, the folder with its names. */
export async function syncPath(path: string): Promise<void> {
  const opened = await open(path, 'r');
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}

/** Makes a folder, and those above it that are missing, each of them on disk. */
export async function makeDurableFolder(path: string): Promise<void> {
  const highest = await mkdir(path, { recursive: true, mode: 0o700 });
  if (highest === undefined) return;
  for (let folder = path; ; folder = dirname(folder)) {
    await syncPath(dirname(folder));
    if (folder === highest) return;
  }
}
