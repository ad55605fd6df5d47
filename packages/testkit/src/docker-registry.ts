import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

let found: { readonly path: string | undefined } | undefined;

/**
 * The distribution's docker-registry: the host's, or its package, unpacked once below node_modules of the checkout at
 * `repository`. Never installed: the package starts a service on port 5000. `undefined` where neither can be had.
 */
export function dockerRegistry(repository: string): string | undefined {
  found ??= { path: onPath() ?? unpacked(repository) };
  return found.path;
}

function unpacked(repository: string): string | undefined {
  const folder = join(repository, 'node_modules', '.cache', 'wherry', 'docker-registry');
  const program = join(folder, 'usr', 'bin', 'docker-registry');
  if (existsSync(program)) return program;
  const unpack = [join(repository, 'tools', 'debian-package.mjs'), 'bookworm', folder, 'docker-registry'];
  try {
    execFileSync(process.execPath, unpack, { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return program;
}

function onPath(): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'docker-registry'))
    .find((path) => existsSync(path));
}
