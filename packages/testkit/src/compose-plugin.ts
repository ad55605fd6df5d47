import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const packageFolder = ['node_modules', '.cache', 'wherry', 'docker-compose'] as const;

/**
 * The folder with docker's compose plug-in out of the distribution's package, unpacked once below node_modules of the
 * checkout at `repository`; `undefined` where the archive cannot be reached.
 */
export function composePlugins(repository: string): string | undefined {
  const folder = join(repository, ...packageFolder);
  const plugins = join(folder, 'usr', 'libexec', 'docker', 'cli-plugins');
  if (existsSync(join(plugins, 'docker-compose'))) return plugins;
  try {
    execFileSync(process.execPath, [
      join(repository, 'tools', 'debian-package.mjs'),
      'trixie',
      folder,
      'docker-compose',
    ]);
  } catch (error) {
    const { status, stderr } = error as { status?: number; stderr?: Buffer };
    if (status !== 3) throw error;
    process.stderr.write(`compose is not tested: ${String(stderr)}\n`);
    return undefined;
  }
  return plugins;
}
