import { mkdirSync, realpathSync } from 'node:fs';
import { bindMount, listMounts, setPropagation } from '@wherry/linux';

/**
 * Makes sure that what is mounted below `directory` later on also appears in mount namespaces that
 * were copied from this one (the runtime's, and containers with `HostToContainer`): when the mount
 * that holds it is private, the folder becomes a shared mount of its own. Call it before such
 * namespaces are made. Gives whether a mount was made (undo it with `unmountAll`).
 */
export function sharePropagation(directory: string): boolean {
  mkdirSync(directory, { recursive: true, mode: 0o750 });
  const path = realpathSync(directory);
  const holder = listMounts()
    .filter(({ mountPoint }) => path === mountPoint || path.startsWith(mountPoint === '/' ? '/' : `${mountPoint}/`))
    .sort((a, b) => a.mountPoint.length - b.mountPoint.length)
    .at(-1);
  if (holder?.propagation.some((tag) => tag.startsWith('shared:'))) return false;
  bindMount(path, path);
  setPropagation(path, 'shared');
  return true;
}
