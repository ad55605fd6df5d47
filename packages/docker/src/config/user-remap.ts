import { WherryError } from '@wherry/base';
import type { IdMapping, UserMappings } from '@wherry/runtime';

/** Contents of files of the machine (passwd(5), subuid(5)). */
export interface UserFiles {
  readonly passwd: string;
  readonly group: string;
  readonly subuid: string;
  readonly subgid: string;
}

/** Whose ranges `default` stands for, as with dockerd. */
const defaultUser = 'dockremap';

/**
 * The users and groups that containers have for theirs, of `default`, `USER[:GROUP]` or `UID[:GID]` (dockerd's
 * `--userns-remap`): all ranges of the user in /etc/subuid, and of the group's namesake in /etc/subgid. Throws `invalid`.
 */
export function parseUserRemap(text: string, files: UserFiles): UserMappings {
  const [user = '', group, more] = text === 'default' ? [defaultUser] : text.split(':');
  if (user === '' || group === '' || more !== undefined)
    throw new WherryError('invalid', `invalid userns remapping specification in "${text}"`);
  const names = namesOf(user, files.passwd, 'user');
  return {
    uidMappings: rangesOf(names, files.subuid, 'subuid'),
    gidMappings: rangesOf(group === undefined ? names : namesOf(group, files.group, 'group'), files.subgid, 'subgid'),
  };
}

/** A name with its number, either of which may stand in the files. */
function namesOf(name: string, table: string, kind: string): readonly string[] {
  const found = table
    .split('\n')
    .map((line) => line.split(':'))
    .find(([known, , id]) => known === name || (/^\d+$/.test(name) && id === name));
  if (found === undefined && name !== defaultUser && !/^\d+$/.test(name))
    throw new WherryError('invalid', `${kind} ${JSON.stringify(name)} of the users' remapping is not known here`);
  return found === undefined ? [name] : [found[0] as string, found[2] as string];
}

function rangesOf(names: readonly string[], table: string, file: string): IdMapping[] {
  const mappings: IdMapping[] = [];
  let containerId = 0;
  for (const line of table.split('\n')) {
    const [owner = '', start = '', count = ''] = line.trim().split(':');
    if (!names.includes(owner) || !/^\d{1,10}$/.test(start) || !/^[1-9]\d{0,9}$/.test(count)) continue;
    mappings.push({ containerId, hostId: Number(start), size: Number(count) });
    containerId += Number(count);
  }
  if (mappings.length > 0) return mappings;
  const name = names[0] as string;
  throw new WherryError(
    'invalid',
    `no ${file} ranges found for ${JSON.stringify(name)} in /etc/${file} (a line such as ${name}:100000:65536)`,
  );
}
