import { statSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import { numbersOfDevice } from '../filesystem/mknod.ts';

/** `8:0`, as the control files name a block device. Throws `notFound`. */
export function deviceName(path: string): string {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) throw new WherryError('notFound', `stat ${path}: no such file or directory`);
  const { major, minor } = numbersOfDevice(status.rdev);
  return `${major}:${minor}`;
}
