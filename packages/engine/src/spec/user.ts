import { WherryError } from '@wherry/base';
import { readFileBeneath } from '@wherry/linux';
import type { UserSpec } from '@wherry/oci';
import type { SecurityContext } from '@wherry/runtime';

/** passwd and group files come with the image: bounded. */
const longestFile = 4 << 20;
const largestId = 2 ** 32 - 2;

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Whom a container runs as. `imageUser` is the image's `User` (`name`, `uid`, `name:group`, …); the
 * security context goes before it. Names are looked up in `/etc/passwd` and `/etc/group` beneath
 * `rootfs`, whose links cannot lead out of it. An unknown name is `invalid`.
 */
export function resolveUser(rootfs: string, imageUser: string, security: SecurityContext): UserSpec {
  const [imageName = '', imageGroup] = imageUser.split(':', 2);
  const wanted = security.runAsUser?.toString() ?? security.runAsUsername ?? imageName;
  const account = accountOf(rootfs, wanted);
  const ownGroup = security.runAsUser === undefined && security.runAsUsername === undefined ? imageGroup : undefined;
  const gid =
    security.runAsGroup ?? (ownGroup === undefined || ownGroup === '' ? account.gid : groupOf(rootfs, ownGroup));
  // With a group named outright the image's memberships do not count (docker's and containerd's rule).
  const memberships = ownGroup === undefined || ownGroup === '' ? membershipsOf(rootfs, account.name) : [];
  const additional = new Set([gid, ...memberships, ...(security.supplementalGroups ?? [])]);
  return { uid: account.uid, gid, additionalGids: [...additional].sort((a, b) => a - b) };
}

function accountOf(rootfs: string, wanted: string): Account {
  if (wanted === '') return accountOf(rootfs, '0');
  const number = idOf(wanted);
  for (const [name = '', , uid, gid] of lines(rootfs, '/etc/passwd'))
    if (name === wanted || (number !== undefined && idOf(uid) === number))
      return { name, uid: idOf(uid) ?? 0, gid: idOf(gid) ?? 0 };
  if (number === undefined)
    throw new WherryError('invalid', `unable to find user ${wanted}: no matching entries in passwd file`);
  return { name: '', uid: number, gid: 0 };
}

function groupOf(rootfs: string, wanted: string): number {
  const number = idOf(wanted);
  if (number !== undefined) return number;
  for (const [name, , gid] of lines(rootfs, '/etc/group')) if (name === wanted) return idOf(gid) ?? 0;
  throw new WherryError('invalid', `unable to find group ${wanted}: no matching entries in group file`);
}

function membershipsOf(rootfs: string, user: string): number[] {
  if (user === '') return [];
  return lines(rootfs, '/etc/group').flatMap(([, , gid, members]) =>
    (members?.split(',') ?? []).includes(user) ? [idOf(gid) ?? 0] : [],
  );
}

function lines(rootfs: string, path: string): string[][] {
  const text = readFileBeneath(rootfs, path, longestFile)?.toString('utf8') ?? '';
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.trim().split(':'));
}

function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= largestId ? id : undefined;
}
