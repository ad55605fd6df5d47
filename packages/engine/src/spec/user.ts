import { WherryError } from '@wherry/base';
import { readFileBeneath } from '@wherry/linux';
import type { UserSpec } from '@wherry/oci';
import type { SecurityContext } from '@wherry/runtime';

/** passwd and group files come with the image: bounded. */
const longestFile = 4 << 20;
const largestId = 2 ** 31 - 1;

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Whom a container runs as. `imageUser` is the image's `User` (`name`, `uid`, `name:group`, …); the
 * security context goes before it (`runAsUsername` in the same form). Names are looked up in `/etc/passwd` and `/etc/group` beneath
 * `rootfs`, whose links cannot lead out of it. An unknown name is `invalid`.
 */
export function resolveUser(rootfs: string, imageUser: string, security: SecurityContext): UserSpec {
  const [name = '', namedGroup] = (security.runAsUsername ?? imageUser).split(':', 2);
  const account = accountOf(rootfs, security.runAsUser?.toString() ?? name);
  const ownGroup = security.runAsUser === undefined ? namedGroup : undefined;
  const gid =
    security.runAsGroup ?? (ownGroup === undefined || ownGroup === '' ? account.gid : groupOf(rootfs, ownGroup));
  // With a group named outright the image's memberships do not count (docker's and containerd's rule).
  const memberships = ownGroup === undefined || ownGroup === '' ? membershipsOf(rootfs, account.name) : [];
  const named = (security.supplementalGroupNames ?? []).map((group) => groupOf(rootfs, group));
  const additional = new Set([gid, ...memberships, ...(security.supplementalGroups ?? []), ...named]);
  return { uid: account.uid, gid, additionalGids: [...additional].sort((a, b) => a - b) };
}

function accountOf(rootfs: string, wanted: string): Account {
  if (wanted === '') return accountOf(rootfs, '0');
  const number = idOf(wanted);
  for (const [name = '', , uid, gid] of lines(rootfs, '/etc/passwd'))
    if (name === wanted || (number !== undefined && uid === String(number)))
      return { name, uid: fileId(uid), gid: fileId(gid) };
  if (number === undefined)
    throw new WherryError('invalid', `unable to find user ${wanted}: no matching entries in passwd file`);
  return { name: '', uid: number, gid: 0 };
}

/** Whether the image's users have one of this number. */
export function isKnownUser(rootfs: string, uid: number): boolean {
  return lines(rootfs, '/etc/passwd').some((line) => line[2] === String(uid));
}

function groupOf(rootfs: string, wanted: string): number {
  const number = idOf(wanted);
  if (number !== undefined) return number;
  for (const [name, , gid] of lines(rootfs, '/etc/group')) if (name === wanted) return fileId(gid);
  throw new WherryError('invalid', `unable to find group ${wanted}: no matching entries in group file`);
}

function membershipsOf(rootfs: string, user: string): number[] {
  if (user === '') return [];
  return lines(rootfs, '/etc/group').flatMap(([, , gid, members]) =>
    (members?.split(',') ?? []).includes(user) ? [fileId(gid)] : [],
  );
}

function lines(rootfs: string, path: string): string[][] {
  const text = readFileBeneath(rootfs, path, longestFile)?.toString('utf8') ?? '';
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.trim().split(':'));
}

/** A number in the image's files; what is none counts as 0, as in runc. */
function fileId(text: string | undefined): number {
  const id = /^\d{1,10}$/.test(text ?? '') ? Number(text) : 0;
  return id <= largestId ? id : 0;
}

function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[+-]?\d+$/.test(text)) return undefined;
  const id = Number(text);
  if (id < 0 || id > largestId) throw new WherryError('invalid', `uids and gids must be in range 0-${largestId}`);
  return id;
}
