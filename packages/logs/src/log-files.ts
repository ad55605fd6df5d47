import { type FileHandle, open, stat } from 'node:fs/promises';
import { errnoOf } from '@wherry/base';

/** No log keeps more rotated files. */
const mostFiles = 1000;

/** A file of a log, held open: rotation may rename or remove it. */
export interface LogFile {
  readonly handle: FileHandle;
  readonly inode: bigint;
  readonly size: number;
  /** Time of the last write, in ns. */
  readonly writtenAt: bigint;
}

/**
 * Opens `PATH`, `PATH.1`, … as far as they are there, or to the one of the inode `until`. Gives them oldest first. Newest
 * is opened first, so that a rotation meanwhile shows a file twice (told by its inode) and hides none.
 */
export async function openLogFiles(path: string, until?: bigint): Promise<LogFile[]> {
  const files: LogFile[] = [];
  let gap = false;
  try {
    for (let number = 0; number < mostFiles; number++) {
      const file = await openLogFile(number === 0 ? path : `${path}.${number}`);
      if (file === undefined) {
        // A rotation makes room from the oldest on: one number may be free for a moment.
        if (gap) break;
        gap = true;
        continue;
      }
      gap = false;
      if (files.some(({ inode }) => inode === file.inode)) await file.handle.close();
      else files.push(file);
      if (file.inode === until) break;
    }
    return files.reverse();
  } catch (error) {
    await closeLogFiles(files);
    throw error;
  }
}

/** The files that came after one that is open, oldest first; none while it is the log's. */
export async function openNewerLogFiles(path: string, { handle, inode }: LogFile): Promise<LogFile[]> {
  try {
    if ((await stat(path, { bigint: true })).ino === inode) return [];
  } catch (error) {
    // Moved aside, and the new one is still to come: nothing is newer.
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
  const files = await openLogFiles(path, inode);
  if (files[0]?.inode === inode) {
    await closeLogFiles(files.splice(0, 1));
    return files;
  }
  // Rotation has dropped it, or has put its last lines into a new file: those that were not written to since are older.
  const { mtimeNs } = await handle.stat({ bigint: true });
  const older = files.findLastIndex(({ writtenAt }, at) =>
    at < files.length - 1 ? writtenAt <= mtimeNs : writtenAt < mtimeNs,
  );
  await closeLogFiles(files.splice(0, older + 1));
  return files;
}

export async function closeLogFiles(files: readonly LogFile[]): Promise<void> {
  await Promise.all(files.map(({ handle }) => handle.close()));
}

async function openLogFile(path: string): Promise<LogFile | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { ino, size, mtimeNs } = await handle.stat({ bigint: true });
    return { handle, inode: ino, size: Number(size), writtenAt: mtimeNs };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
