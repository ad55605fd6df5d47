import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A package of the npm registry with what it needs, installed once below node_modules of the checkout at `repository`,
 * without its scripts: for clients that tests drive and the product knows nothing of. Gives the folder that modules are
 * resolved from; `undefined` where it cannot be had.
 */
export function npmPackage(repository: string, name: string, version: string): string | undefined {
  const cache = join(repository, 'node_modules', '.cache', 'wherry', 'npm');
  const folder = join(cache, `${name.replace('/', '-')}-${version}`);
  if (existsSync(folder)) return folder;
  const temporary = `${folder}.${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock', '--prefix', temporary];
  try {
    execFileSync('npm', ['install', ...options, `${name}@${version}`], { stdio: 'ignore', timeout: 120_000 });
    renameSync(temporary, folder);
    return folder;
  } catch {
    rmSync(temporary, { recursive: true, force: true });
    return existsSync(folder) ? folder : undefined;
  }
}
