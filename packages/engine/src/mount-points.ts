import { statSync } from 'node:fs';
import { codeOf, errnoOf } from '@wherry/base';
import type { MountSpec } from '@wherry/oci';
import { makeFileBeneath, makeFolderBeneath } from './folder-beneath.ts';

/**
 * Makes what is missing in a root to mount on, with the modes that runc gives it: crun's are 01755 and 0700, and stay to
 * be seen. What is mounted below another mount is left to the runtime, and so is what cannot be made, which it refuses.
 */
export function makeMountPoints(root: string, mounts: readonly MountSpec[]): void {
  const destinations = mounts.map(({ destination }) => destination);
  for (const mount of mounts) {
    const { destination } = mount;
    if (destinations.some((other) => destination.startsWith(`${other}/`))) continue;
    try {
      if (isFile(mount)) makeFileBeneath(root, destination);
      else makeFolderBeneath(root, destination);
    } catch (error) {
      if (codeOf(error) === undefined && errnoOf(error) !== 'EEXIST') throw error;
    }
  }
}

function isFile({ type, source }: MountSpec): boolean {
  return type === 'bind' && source !== undefined && !statSync(source).isDirectory();
}
