import { WherryError } from '@wherry/base';
import { listMounts, type MountEntry } from '../filesystem/mount-table.ts';
import type { Cgroups } from './contract.ts';
import { CgroupsVersion1, type Controllers } from './version-1.ts';
import { CgroupsVersion2 } from './version-2.ts';

/**
 * How a host mounts its cgroups: `hybrid` has controllers on version 1 and an empty version 2 tree
 * beside them (systemd's default of the years 2017 to 2021), which crun refuses to run on.
 */
export type CgroupLayout =
  | { readonly kind: 'legacy'; readonly controllers: Controllers }
  | { readonly kind: 'hybrid'; readonly controllers: Controllers; readonly unified: string }
  | { readonly kind: 'unified'; readonly unified: string };

const version1Controllers = ['cpu', 'cpuacct', 'cpuset', 'memory', 'pids', 'blkio', 'devices', 'freezer', 'hugetlb'];

/**
 * Reads the layout from a mount table, in which there may be copies of a hierarchy (`docker run -v /:/host` makes some):
 * the shortest path is the original's. Throws `unavailable` when no cgroup hierarchy is mounted.
 */
export function cgroupLayout(mounts: readonly MountEntry[] = listMounts()): CgroupLayout {
  const controllers = new Map<string, string>();
  let unified: string | undefined;
  for (const mount of mounts) {
    if (mount.type === 'cgroup2') unified = shorter(unified, mount.mountPoint);
    if (mount.type !== 'cgroup') continue;
    for (const option of mount.superOptions)
      if (version1Controllers.includes(option) || option === 'name=systemd')
        controllers.set(option, shorter(controllers.get(option), mount.mountPoint));
  }
  if (controllers.size > 0 && [...controllers.keys()].some((name) => name !== 'name=systemd'))
    return unified === undefined ? { kind: 'legacy', controllers } : { kind: 'hybrid', controllers, unified };
  if (unified !== undefined) return { kind: 'unified', unified };
  throw new WherryError('unavailable', 'no cgroup hierarchy is mounted at /sys/fs/cgroup');
}

const shorter = (one: string | undefined, other: string): string =>
  one !== undefined && one.length <= other.length ? one : other;

/** The control groups of this host. */
export function openCgroups(layout: CgroupLayout = cgroupLayout()): Cgroups {
  return layout.kind === 'unified' ? new CgroupsVersion2(layout.unified) : new CgroupsVersion1(layout.controllers);
}
