import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '@wherry/base';

/** Bytes of all files below a folder, each file once however many names it has. What goes away meanwhile is left out. */
export async function treeSize(folder: string): Promise<number> {
  const seen = new Set<string>();
  const folders = [folder];
  let bytes = 0;
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    try {
      for await (const entry of await opendir(next)) {
        const path = join(next, entry.name);
        if (entry.isDirectory()) folders.push(path);
        else bytes += await fileSize(path, seen);
      }
    } catch (error) {
      if (!gone(error)) throw error;
    }
  }
  return bytes;
}

async function fileSize(path: string, seen: Set<string>): Promise<number> {
  try {
    const status = await lstat(path);
    if (status.nlink === 1) return status.size;
    const key = `${status.dev}:${status.ino}`;
    if (seen.has(key)) return 0;
    seen.add(key);
    return status.size;
  } catch (error) {
    if (!gone(error)) throw error;
    return 0;
  }
}

const gone = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '');
