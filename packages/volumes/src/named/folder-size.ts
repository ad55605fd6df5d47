import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '@wherry/base';

/** Bytes of the files below a folder, one with several names counted once. What goes away meanwhile counts nothing. */
export async function folderSize(folder: string): Promise<number> {
  const seen = new Set<bigint>();
  let bytes = 0;
  const folders = [folder];
  for (let path = folders.pop(); path !== undefined; path = folders.pop()) {
    for (const name of await present(readdir(path), [])) {
      const status = await present(lstat(join(path, name), { bigint: true }), undefined);
      if (status === undefined) continue;
      if (status.isDirectory()) folders.push(join(path, name));
      else if (status.nlink === 1n || !seen.has(status.ino)) bytes += Number(status.size);
      if (status.nlink > 1n) seen.add(status.ino);
    }
  }
  return bytes;
}

async function present<T>(look: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await look;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return otherwise;
    throw error;
  }
}
