import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { WherryError } from '@wherry/base';

/** A program or library of the host that must be there, and the Debian package that brings it. */
interface Requirement {
  readonly what: string;
  readonly package: string;
  readonly paths: readonly string[];
}

const requirements: readonly Requirement[] = [
  { what: 'crun, the OCI runtime', package: 'crun', paths: ['crun'] },
  { what: 'conmon, the container monitor', package: 'conmon', paths: ['conmon'] },
  {
    what: 'libnftables',
    package: 'libnftables1',
    paths: [
      '/usr/lib/x86_64-linux-gnu/libnftables.so.1',
      '/usr/lib/aarch64-linux-gnu/libnftables.so.1',
      '/usr/lib/libnftables.so.1',
      '/usr/lib64/libnftables.so.1',
    ],
  },
];

async function exists(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

/** The packages that are missing; empty when all is there. `path` is the value of PATH. */
export async function missingPackages(path: string): Promise<readonly Requirement[]> {
  const folders = [...path.split(delimiter), '/usr/sbin', '/sbin'];
  const missing: Requirement[] = [];
  for (const requirement of requirements) {
    const candidates = requirement.paths.flatMap((name) =>
      name.startsWith('/') ? [name] : folders.map((folder) => join(folder, name)),
    );
    const found = await Promise.all(
      candidates.map((candidate) => exists(candidate, candidate.endsWith('.1') ? constants.R_OK : constants.X_OK)),
    );
    if (!found.includes(true)) missing.push(requirement);
  }
  return missing;
}

/** Fails with `unavailable` and what to do when this machine cannot run containers. */
export async function preflight(path: string): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new WherryError('forbidden', 'wherry must run as root to make namespaces and mounts; try "sudo wherry up"');
  if (process.platform !== 'linux')
    throw new WherryError('unsupported', `wherry runs on Linux, this is ${process.platform}`);
  const missing = await missingPackages(path);
  if (missing.length > 0)
    throw new WherryError(
      'unavailable',
      `missing on this machine: ${missing.map((m) => m.what).join('; ')}\nInstall with: apt-get install -y ${missing.map((m) => m.package).join(' ')}`,
    );
  if (!(await exists('/proc/self/ns/net', constants.R_OK)))
    throw new WherryError('unsupported', 'this kernel has no network namespaces (CONFIG_NET_NS)');
}
