import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const packageFolder = ['node_modules', '.cache', 'wherry', 'docker-cli'] as const;
let found: string | undefined;

/**
 * The real docker client: the host's, or the distribution's package of it, unpacked once below node_modules of the
 * checkout at `repository`. Throws where neither can be had.
 */
export function realDocker(repository: string): string {
  found ??= onPath('docker') ?? unpacked(repository, ['usr', 'bin', 'docker']);
  return found;
}

function unpacked(repository: string, path: readonly string[]): string {
  const folder = join(repository, ...packageFolder);
  const program = join(folder, ...path);
  if (!existsSync(program))
    execFileSync(process.execPath, [join(repository, 'tools', 'debian-package.mjs'), 'trixie', folder, 'docker-cli']);
  return program;
}

function onPath(name: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
