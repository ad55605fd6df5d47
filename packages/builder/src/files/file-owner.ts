import { closeSync, constants, fstatSync } from 'node:fs';
import { codeOf, WherryError } from '@wherry/base';
import { openBeneath, readFileBeneath } from '@wherry/linux';
import type { Owner } from './destination.ts';

/** passwd and group files come with the image: bounded. */
const longestFile = 4 * 1024 * 1024;
const largestId = 2 ** 32 - 2;

/**
 * `--chown=user[:group]`, names looked up in the image's own files; without a group the user's word names it. `folders`:
 * the image's layers, topmost first. Throws `invalid` in dockerd's words.
 */
export function parseOwner(text: string, folders: readonly string[]): Owner {
  const parts = text.split(':');
  const [user = '', group = user] = parts;
  const fault = 'unable to convert uid/gid chown string to host mapping';
  if (parts.length > 2) {
    throw new WherryError('invalid', `${fault}: invalid chown string format: ${text}`);
  }
  const uid = idOf(user) ?? lookUp(folders, 'etc/passwd', user);
  if (uid === undefined) {
    throw new WherryError('invalid', `${fault}: can't find uid for user ${user}: no such user: ${user}`);
  }
  const gid = idOf(group) ?? lookUp(folders, 'etc/group', group);
  if (gid === undefined) {
    throw new WherryError('invalid', `${fault}: can't find gid for group ${group}: no such group: ${group}`);
  }
  return { uid, gid };
}

function lookUp(folders: readonly string[], path: string, name: string): number | undefined {
  for (const line of (readLayered(folders, path) ?? '').split('\n')) {
    const [entry, , id] = line.split(':');
    if (entry === name) return idOf(id);
  }
  return undefined;
}

/** The file of the topmost layer that says anything about it. */
function readLayered(folders: readonly string[], path: string): string | undefined {
  for (const folder of folders) {
    let found: number;
    try {
      found = openBeneath(folder, path, { flags: 0o10000000 | constants.O_NOFOLLOW });
    } catch (error) {
      if (codeOf(error) === 'notFound') continue;
      throw error;
    }
    try {
      if (!fstatSync(found).isFile()) return undefined;
    } finally {
      closeSync(found);
    }
    return readFileBeneath(folder, path, longestFile)?.toString('utf8');
  }
  return undefined;
}

function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  return Number(text) <= largestId ? Number(text) : undefined;
}
