import { existsSync, readFileSync } from 'node:fs';
import { parseUserRemap } from '@wherry/docker';
import type { UserMappings } from '@wherry/runtime';

/** The users that this machine's files give for a remapping. Throws `invalid`. */
export function hostUserMappings(text: string): UserMappings {
  const read = (name: string): string => (existsSync(`/etc/${name}`) ? readFileSync(`/etc/${name}`, 'utf8') : '');
  return parseUserRemap(text, {
    passwd: read('passwd'),
    group: read('group'),
    subuid: read('subuid'),
    subgid: read('subgid'),
  });
}
