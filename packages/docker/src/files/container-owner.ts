import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { codeOf, WherryError } from '@wherry/base';
import type { ContainerTree } from './container-tree.ts';

const largestFile = 1 << 20;

/** The numbers of a container's user (`NAME`, `UID`, `UID:GID`, …); `undefined` where it names none. */
export async function ownerOf(
  tree: ContainerTree,
  user: string,
): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  const [name = '', group] = user.split(':');
  if (name === '') return undefined;
  const known = await lineOf(tree, '/etc/passwd', name);
  if (known === undefined && !/^\d+$/.test(name)) {
    throw new WherryError('invalid', `unable to find user ${name}: no matching entries in passwd file`);
  }
  const uid = Number(known?.[2] ?? name);
  if (group === undefined || group === '') return { uid, gid: Number(known?.[3] ?? 0) };
  const gid = (await lineOf(tree, '/etc/group', group))?.[2] ?? group;
  if (!/^\d+$/.test(gid)) {
    throw new WherryError('invalid', `unable to find group ${group}: no matching entries in group file`);
  }
  return { uid, gid: Number(gid) };
}

/** The fields of the line whose name or number it is. */
async function lineOf(tree: ContainerTree, path: string, key: string): Promise<string[] | undefined> {
  const lines = (await textOf(tree, path)).split('\n').map((line) => line.split(':'));
  return lines.find(([name]) => name === key) ?? lines.find(([, , number]) => number === key);
}

async function textOf(tree: ContainerTree, path: string): Promise<string> {
  try {
    using found = tree.locate(path, { follow: true });
    if (!found.status.isFile()) return '';
    const file = await open(`/proc/self/fd/${found.descriptor}`, constants.O_RDONLY);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(largestFile), 0, largestFile, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === 'notFound') return '';
    throw error;
  }
}
