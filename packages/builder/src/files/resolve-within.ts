import { lstatSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, fsPath, readLinkSync, WherryError } from '@wherry/base';

/** As the kernel's limit on nested links. */
const mostLinks = 40;

/**
 * The path below `root` that `path` leads to, as within chroot: links are followed inside, `..` at the top is the top.
 * Parts that are not there are kept as they are. Holds as long as nobody else writes to the tree. `followLast` false:
 * a link at the very end stays one.
 */
export function resolveWithin(root: string, path: string, { followLast = true } = {}): string {
  const at: string[] = [];
  const todo = path.split('/').reverse();
  let links = 0;
  for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      at.pop();
      continue;
    }
    const here = join(root, ...at, part);
    const isLast = todo.every((rest) => rest === '' || rest === '.');
    if ((isLast && !followLast) || statusOf(here)?.isSymbolicLink() !== true) {
      at.push(part);
      continue;
    }
    if (++links > mostLinks) throw new WherryError('invalid', `too many levels of symbolic links: ${path}`);
    const link = readLinkSync(here);
    if (link.startsWith('/')) at.length = 0;
    todo.push(...link.split('/').reverse());
  }
  return at.join('/');
}

/** lstat, or `undefined` when there is nothing, or a file stands where a folder would have to. */
export function statusOf(path: string): Stats | undefined {
  try {
    return lstatSync(fsPath(path));
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
