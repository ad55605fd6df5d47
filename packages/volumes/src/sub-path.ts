import { closeSync, constants, fstatSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, WherryError } from '@wherry/base';
import { bindMount, openBeneath } from '@wherry/linux';

const pathOnly = 0o10000000; // O_PATH

/**
 * Mounts `subPath` of a volume at `target` (made here: file or folder). The path is opened so that no
 * symbolic link leads out of the volume, and what was opened is what is mounted: a container that
 * swaps a link meanwhile gains nothing (CVE-2021-25741). Missing folders are made, unless `readOnly`.
 */
export function bindSubPath(
  volume: string,
  subPath: string,
  target: string,
  { create }: { readonly create: boolean },
): void {
  if (subPath.startsWith('/') || subPath.split('/').includes('..'))
    throw new WherryError('invalid', `subPath ${JSON.stringify(subPath)} must be relative and must not contain '..'`);
  const descriptor = openOrMake(volume, subPath, create);
  try {
    if (fstatSync(descriptor).isDirectory()) mkdirSync(target, { recursive: true, mode: 0o755 });
    else closeSync(openSync(target, 'a', 0o644));
    bindMount(`/proc/self/fd/${descriptor}`, target, { recursive: true });
  } finally {
    closeSync(descriptor);
  }
}

function openOrMake(volume: string, subPath: string, create: boolean): number {
  try {
    return openBeneath(volume, subPath, { flags: pathOnly, escape: 'refuse' });
  } catch (error) {
    if (codeOf(error) !== 'notFound' || !create) throw error;
  }
  let folder = openBeneath(volume, '', { flags: pathOnly | constants.O_DIRECTORY, escape: 'refuse' });
  for (const name of subPath.split('/').filter((element) => element !== '' && element !== '.')) {
    const parent = folder;
    try {
      makeFolder(parent, name);
      folder = openBeneath(parent, name, { flags: pathOnly | constants.O_DIRECTORY, escape: 'refuse' });
    } finally {
      closeSync(parent);
    }
  }
  return folder;
}

/** mkdirat through the descriptor's magic link: only the last name is looked up. */
function makeFolder(parent: number, name: string): void {
  try {
    mkdirSync(join(`/proc/self/fd/${parent}`, name), { mode: 0o750 });
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error;
  }
}
