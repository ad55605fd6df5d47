import { closeSync, readlinkSync, statfsSync } from 'node:fs';
import { normalize } from 'node:path';
import { openBeneath } from '@wherry/linux';
import type { MountSpec, RuntimeSpec } from '@wherry/oci';

const pathOnly = 0o10000000; // O_PATH
const procFileSystem = 0x9fa0; // PROC_SUPER_MAGIC

/** What lxcfs emulates: the only files of `/proc` that others may stand in for. */
const replaceable: ReadonlySet<string> = new Set([
  '/proc/cpuinfo',
  '/proc/diskstats',
  '/proc/loadavg',
  '/proc/meminfo',
  '/proc/net/dev',
  '/proc/slabinfo',
  '/proc/stat',
  '/proc/swaps',
  '/proc/sys/crypto/fips_enabled',
  '/proc/sys/kernel/ns_last_pid',
  '/proc/uptime',
]);

/**
 * Refuses what is to be mounted over `/proc` or in it, as runc does: what reads there would trust what an image or a
 * volume says (CVE-2019-16884, CVE-2019-19921). crun mounts it. Throws runc's words.
 */
export function refuseProcMounts({ root, mounts }: Pick<RuntimeSpec, 'root' | 'mounts'>): void {
  for (const mount of mounts) {
    const path = resolved(root.path, mount.destination);
    const why =
      path === '/proc' && !isProc(mount)
        ? 'it is not of type proc'
        : path.startsWith('/proc/') && !replaceable.has(path)
          ? 'it is inside /proc'
          : undefined;
    if (why !== undefined)
      throw new Error(`${placeOf(mount)}: ${JSON.stringify(root.path + path)} cannot be mounted because ${why}`);
  }
}

const placeOf = ({ source = '', destination }: MountSpec): string =>
  `error during container init: error mounting ${JSON.stringify(source)} to rootfs at ${JSON.stringify(destination)}`;

function isProc({ type, source }: MountSpec): boolean {
  return type === 'bind' && source !== undefined ? statfsSync(source).type === procFileSystem : type === 'proc';
}

/** Where links in the root lead to; of what is not there yet, the path itself. */
function resolved(root: string, destination: string): string {
  try {
    const descriptor = openBeneath(root, destination, { flags: pathOnly });
    try {
      const path = readlinkSync(`/proc/self/fd/${descriptor}`);
      return path.startsWith(`${root}/`) ? path.slice(root.length) : normalize(destination);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return normalize(destination);
  }
}
