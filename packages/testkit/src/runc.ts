import { join } from 'node:path';
import { debianPackages } from './debian-packages.ts';

/**
 * The other OCI runtime, runc: the distribution's package, unpacked below node_modules of the checkout at `repository`
 * and not installed. Throws where it cannot be had.
 */
export function realRunc(repository: string): string {
  const folder = debianPackages(repository, 'bookworm', ['runc']);
  if (folder === undefined) throw new Error('the package runc cannot be had');
  return join(folder, 'usr', 'sbin', 'runc');
}
