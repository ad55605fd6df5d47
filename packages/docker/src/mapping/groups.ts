import { WherryError } from '@wherry/base';
import { readFileBeneath } from '@wherry/linux';
import type { ContainerRecord } from '../containers/record.ts';

/** A group file comes with the image: bounded. */
const longest = 4 << 20;

export interface GroupNumbers {
  readonly groups: readonly number[];
  readonly ownGroup: number | undefined;
}

/** Whether a container's groups can be told only from its files. */
export function needsGroups({ config, host }: ContainerRecord): boolean {
  return [config.User.split(':', 2)[1] ?? '', ...(host.GroupAdd ?? [])].some(
    (group) => group !== '' && !isNumber(group),
  );
}

/** The numbers of `--group-add` and of `-u USER:GROUP`; names are looked up beneath `root`. */
export function groupNumbers({ config, host }: ContainerRecord, root: string | undefined): GroupNumbers {
  const names = root === undefined ? new Map<string, number>() : namesIn(root, '/etc/group');
  const [user = ''] = config.User.split(':', 1);
  // Whom it runs as is looked for before the groups.
  if (root !== undefined && user !== '' && !isNumber(user) && !namesIn(root, '/etc/passwd').has(user))
    throw new WherryError('internal', `unable to find user ${user}: no matching entries in passwd file`);
  const own = config.User.split(':', 2)[1] ?? '';
  const number = (group: string, missing: (group: string) => string): number => {
    if (/^[+-]?[0-9]+$/.test(group)) return checkedNumber(Number(group));
    const found = names.get(group);
    if (found === undefined) throw new WherryError('internal', missing(group));
    return found;
  };
  return {
    groups: (host.GroupAdd ?? []).map((group) =>
      number(group, (name) => `Unable to find group ${name}: no matching entries in group file`),
    ),
    ownGroup:
      own === '' ? undefined : number(own, (name) => `unable to find group ${name}: no matching entries in group file`),
  };
}

const isNumber = (text: string): boolean => /^[+-]?[0-9]+$/.test(text);

/** Users and groups are counted by signed numbers of 32 bits (runc's `user` package). */
const largest = 2 ** 31 - 1;

function checkedNumber(number: number): number {
  if (number >= 0 && number <= largest) return number;
  throw new WherryError('internal', `uids and gids must be in range 0-${largest}`);
}

function namesIn(root: string, file: '/etc/passwd' | '/etc/group'): Map<string, number> {
  const text = readFileBeneath(root, file, longest)?.toString('utf8') ?? '';
  const groups = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name = '', , number = ''] = line.trim().split(':');
    if (isNumber(number) && !groups.has(name)) groups.set(name, Number(number));
  }
  return groups;
}
