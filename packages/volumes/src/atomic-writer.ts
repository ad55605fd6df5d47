import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, errnoOf } from '@wherry/base';
import { checkVolumePath, type Payload } from './payload.ts';

const dataLink = '..data';

/**
 * Writes a set of files into a folder so that a reader sees the old set or the new one, never a
 * mixture. The layout is upstream's, which programs watch for: files lie in `..2026_01_31_12_00_00.123`,
 * the link `..data` points to that folder and is replaced by rename, and each visible name at the top
 * is a link `name → ..data/name`. Gives whether anything changed. Not to be called twice at once
 * for the same folder.
 */
export async function writeVolumeAtomically(
  directory: string,
  payload: Payload,
  { clock, gid }: { readonly clock: Clock; readonly gid?: number | undefined },
): Promise<boolean> {
  for (const path of payload.keys()) checkVolumePath(path);
  const previous = await currentFolder(directory);
  if (previous !== undefined && (await sameContent(join(directory, previous), payload))) {
    await linkNames(directory, payload);
    return false;
  }
  const folder = await mkdtemp(join(directory, `..${stamp(clock.now())}.`));
  try {
    await chmod(folder, 0o755);
    if (gid !== undefined) await chown(folder, -1, gid);
    await writeFiles(folder, payload, gid);
    const temporary = join(directory, '..data_tmp');
    await rm(temporary, { force: true });
    await symlink(folder.slice(directory.length + 1), temporary);
    await rename(temporary, join(directory, dataLink));
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  await linkNames(directory, payload);
  await removeStale(directory, folder.slice(directory.length + 1), payload);
  return true;
}

async function currentFolder(directory: string): Promise<string | undefined> {
  try {
    const target = await readlink(join(directory, dataLink));
    return target.includes('/') || !target.startsWith('..2') ? undefined : target;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}

/** `2026_01_31_12_00_00` in UTC. */
function stamp(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace(/[-T:]/g, '_');
}

async function writeFiles(folder: string, payload: Payload, gid: number | undefined): Promise<void> {
  const made = new Set<string>(['.']);
  for (const [path, file] of payload) {
    for (const parent of parentsOf(path)) {
      if (made.has(parent)) continue;
      await mkdir(join(folder, parent));
      await chmod(join(folder, parent), 0o755);
      if (gid !== undefined) await chown(join(folder, parent), -1, gid);
      made.add(parent);
    }
    const target = join(folder, path);
    await writeFile(target, file.content, { flag: 'wx', mode: 0o600 });
    if (gid !== undefined || file.uid !== undefined) await chown(target, file.uid ?? -1, gid ?? -1);
    await chmod(target, gid === undefined ? file.mode : file.mode | 0o440);
  }
}

/** `a/b/c` → `a`, `a/b`. */
function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) parents.push(path.slice(0, at));
  return parents;
}

async function sameContent(folder: string, payload: Payload): Promise<boolean> {
  const found = await listFiles(folder, '');
  if (found === undefined || found.length !== payload.size) return false;
  for (const path of found) {
    const wanted = payload.get(path);
    if (wanted === undefined) return false;
    const status = await stat(join(folder, path));
    if (status.size !== wanted.content.length || (status.mode & wanted.mode) !== wanted.mode) return false;
    if (!(await readFile(join(folder, path))).equals(wanted.content)) return false;
  }
  return true;
}

async function listFiles(folder: string, below: string): Promise<string[] | undefined> {
  try {
    const paths: string[] = [];
    for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) paths.push(...((await listFiles(folder, path)) ?? []));
      else paths.push(path);
    }
    return paths;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function topNames(payload: Payload): Set<string> {
  return new Set([...payload.keys()].map((path) => path.split('/', 1)[0] as string));
}

async function linkNames(directory: string, payload: Payload): Promise<void> {
  for (const name of topNames(payload)) {
    try {
      await symlink(`${dataLink}/${name}`, join(directory, name));
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
  }
}

/** Removes what the new set does not have: links of names that are gone and older data folders. */
async function removeStale(directory: string, current: string, payload: Payload): Promise<void> {
  const names = topNames(payload);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.name === dataLink || entry.name === current) continue;
    const path = join(directory, entry.name);
    if (entry.isDirectory() && entry.name.startsWith('..2')) await rm(path, { recursive: true, force: true });
    else if (entry.isSymbolicLink() && !names.has(entry.name) && (await readlink(path)).startsWith(`${dataLink}/`))
      await unlink(path);
  }
}
