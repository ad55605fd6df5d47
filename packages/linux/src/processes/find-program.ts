import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { WherryError } from '@wherry/base';

/** Where the distributions put system programs; a daemon's own PATH may lack the sbin folders. */
const folders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The absolute path of a host program; throws `notFound` with its name. */
export function findProgram(name: string): string {
  for (const path of isAbsolute(name) ? [name] : folders.map((folder) => join(folder, name))) {
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // The next folder may have it.
    }
  }
  throw new WherryError('notFound', `the program ${name} is not installed`, { details: { program: name } });
}
