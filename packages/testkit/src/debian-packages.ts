import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * Packages of a Debian suite, unpacked once below node_modules of the checkout at `repository` and never installed.
 * Gives their folder; `undefined` where they cannot be had.
 */
export function debianPackages(repository: string, suite: string, packages: readonly string[]): string | undefined {
  const cache = join(repository, 'node_modules', '.cache', 'wherry', 'debian');
  const folder = join(cache, `${suite}-${packages.join('-')}`);
  mkdirSync(cache, { recursive: true });
  const unpack = [join(repository, 'tools', 'debian-package.mjs'), suite, folder, ...packages];
  try {
    execFileSync(process.execPath, unpack, { stdio: 'ignore', timeout: 300_000 });
  } catch {
    return undefined;
  }
  return existsSync(folder) ? folder : undefined;
}

/** The folders of dockerd's programs, as PATH has them; `undefined` where they cannot be had. */
export function dockerdFolders(repository: string): string | undefined {
  const docker = debianPackages(repository, 'trixie', ['docker.io', 'containerd']);
  // The suite's own runc wants a newer C library than Debian 12 has.
  const runc = debianPackages(repository, 'bookworm', ['runc']);
  if (docker === undefined || runc === undefined) return undefined;
  return [join(docker, 'usr/sbin'), join(docker, 'usr/bin'), join(runc, 'usr/sbin')].join(delimiter);
}
