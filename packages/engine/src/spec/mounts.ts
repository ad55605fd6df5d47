import { realpathSync, statSync } from 'node:fs';
import { isAbsolute, normalize } from 'node:path';
import { errnoOf, WherryError } from '@wherry/base';
import { findProgram, mountHolding, mountRestrictions } from '@wherry/linux';
import type { MountSpec } from '@wherry/oci';
import type { ContainerConfig, Mount, TmpfsMount } from '@wherry/runtime';
import { failedInside } from '../runtime/failures.ts';

/** Files and folders of the sandbox that each of its containers sees. */
export interface SandboxFiles {
  /** A number: a fresh one of so many bytes. `undefined`: no `/dev/shm`. */
  readonly shm: string | number | undefined;
  readonly hostname: string | undefined;
  readonly resolvConf: string | undefined;
}

/** All mounts of a container, in the order in which they are made. */
export function mountsOf(config: ContainerConfig, files: SandboxFiles): MountSpec[] {
  const own = [...config.mounts.map(checkedMount), ...(config.tmpfs ?? []).map(tmpfsMount), ...initMount(config)];
  const privileged = config.security.privileged === true;
  const writableCgroups = privileged || config.security.writableCgroups === true;
  const taken = new Set(own.map((mount) => mount.destination));
  const standard: MountSpec[] = [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/sys',
      type: 'sysfs',
      source: 'sysfs',
      options: ['nosuid', 'noexec', 'nodev', privileged ? 'rw' : 'ro'],
    },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: ['nosuid', 'noexec', 'nodev', 'relatime', writableCgroups ? 'rw' : 'ro'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    ...(files.shm === undefined ? [] : [sharedMemory(files.shm)]),
    ...(files.hostname === undefined ? [] : [bind('/etc/hostname', files.hostname, ['rw'])]),
    ...(files.resolvConf === undefined ? [] : [bind('/etc/resolv.conf', files.resolvConf, ['rw'])]),
  ];
  // A mount over `/` of `/sys` needs to come after it, one below another after that one: shallow first.
  const ordered = own.map((mount, index) => ({ mount, index, depth: depthOf(mount.destination) }));
  ordered.sort((a, b) => a.depth - b.depth || a.index - b.index);
  return [...standard.filter((mount) => !taken.has(mount.destination)), ...ordered.map(({ mount }) => mount)];
}

function sharedMemory(from: string | number): MountSpec {
  const destination = '/dev/shm';
  const options = ['nosuid', 'noexec', 'nodev'];
  if (typeof from === 'string') return bind(destination, from, [...options, 'rw']);
  return { destination, type: 'tmpfs', source: 'shm', options: [...options, 'mode=1777', `size=${from}`] };
}

const bind = (destination: string, source: string, options: readonly string[]): MountSpec => ({
  destination,
  type: 'bind',
  source,
  options: ['rbind', 'rprivate', ...options],
});

const depthOf = (path: string): number => path.split('/').filter((part) => part !== '').length;

function checkDestination(path: string): void {
  if (!isAbsolute(path) || normalize(path) === '/')
    throw new WherryError('invalid', `cannot mount over ${JSON.stringify(path)}`);
}

function checkedMount(mount: Mount): MountSpec {
  if (!isAbsolute(mount.hostPath))
    throw new WherryError('invalid', `the mount source ${JSON.stringify(mount.hostPath)} is not absolute`);
  checkDestination(mount.containerPath);
  try {
    statSync(mount.hostPath);
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR')
      throw failedInside(
        `error mounting "${mount.hostPath}" to rootfs at "${mount.containerPath}": stat ${mount.hostPath}: not a directory`,
        error,
      );
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new WherryError(
      'notFound',
      `failed to stat "${mount.hostPath}": stat ${mount.hostPath}: no such file or directory`,
      { cause: error },
    );
  }
  checkPropagation(mount.hostPath, mount.propagation);
  const recursive = mount.recursive !== false;
  const propagation =
    mount.propagation === undefined || mount.propagation === 'private'
      ? // crun takes the mounts below along for any recursive flag.
        recursive
        ? 'rprivate'
        : 'private'
      : mount.propagation;
  return {
    destination: normalize(mount.containerPath),
    type: 'bind',
    source: mount.hostPath,
    options: [
      recursive ? 'rbind' : 'bind',
      propagation,
      // crun clears the flags of what it binds, runc does not: `-v` must not open what is closed on the host.
      ...mountRestrictions(mount.hostPath),
      ...(mount.readOnly === true ? [readOnlyOption(mount)] : []),
      ...(mount.idmapped === true ? ['idmap'] : []),
    ],
  };
}

/** Nothing is mounted below a file, and crun 1.8 fails to open one as a folder for `rro`. */
function readOnlyOption({ hostPath, recursiveReadOnly }: Mount): 'ro' | 'rro' {
  return recursiveReadOnly === true && statSync(hostPath).isDirectory() ? 'rro' : 'ro';
}

/** Safe unless told otherwise: `exec` takes back `noexec`, and so on (docker's rule). */
const tmpfsDefaults = { exec: 'noexec', suid: 'nosuid', dev: 'nodev' } as const;

function tmpfsMount({ containerPath, options }: TmpfsMount): MountSpec {
  checkDestination(containerPath);
  for (const option of options)
    if (!/^[a-z0-9_]+(=[^,]+)?$/i.test(option))
      throw new WherryError('invalid', `invalid tmpfs option ${JSON.stringify(option)}`);
  const defaults = Object.entries(tmpfsDefaults).flatMap(([taken, given]) =>
    options.includes(taken) || options.includes(given) ? [] : [given],
  );
  return {
    destination: normalize(containerPath),
    type: 'tmpfs',
    source: 'tmpfs',
    options: [...defaults, 'rprivate', ...options],
  };
}

/** Where the small init is in a container that has one. */
export const initPath = '/sbin/docker-init';

function initMount({ init }: ContainerConfig): MountSpec[] {
  if (init !== true) return [];
  return [{ destination: initPath, type: 'bind', source: findInit(), options: ['bind', 'rprivate', 'ro'] }];
}

/** One without libraries: the image has none for it. */
function findInit(): string {
  for (const name of ['tini-static', 'docker-init', 'catatonit']) {
    try {
      return findProgram(name);
    } catch {
      // The next one may be there.
    }
  }
  throw new WherryError('unavailable', 'no init for containers is installed: tini-static (in the package tini)');
}

/** Mounts travel only through a mount of the host that lets them: refused rather than silently not done, as containerd does. */
function checkPropagation(hostPath: string, propagation: Mount['propagation']): void {
  const wanted = propagation?.replace(/^r/, '');
  if (wanted !== 'shared' && wanted !== 'slave') return;
  const mount = mountHolding(realpathSync(hostPath));
  const shared = mount?.propagation.some((flag) => flag.startsWith('shared:'));
  const slave = mount?.propagation.some((flag) => flag.startsWith('master:'));
  if (shared === true || (wanted === 'slave' && slave === true)) return;
  const kind = wanted === 'shared' ? 'a shared mount' : 'a shared or slave mount';
  throw new WherryError('invalid', `path ${hostPath} is mounted on ${mount?.mountPoint ?? '/'} but it is not ${kind}`);
}
