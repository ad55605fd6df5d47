import { realpathSync, statSync } from 'node:fs';
import { isAbsolute, normalize } from 'node:path';
import { errnoOf, WherryError } from '@wherry/base';
import { mountHolding } from '@wherry/linux';
import type { MountSpec } from '@wherry/oci';
import type { ContainerConfig, Mount } from '@wherry/runtime';

/** Files and folders of the sandbox that each of its containers sees. */
export interface SandboxFiles {
  /** `undefined`: no `/dev/shm`. */
  readonly shm: string | undefined;
  readonly hostname: string | undefined;
  readonly resolvConf: string | undefined;
}

/** All mounts of a container, in the order in which they are made. */
export function mountsOf(config: ContainerConfig, files: SandboxFiles): MountSpec[] {
  const own = config.mounts.map(checkedMount);
  const privileged = config.security.privileged === true;
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
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
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
      options: ['nosuid', 'noexec', 'nodev', 'relatime', privileged ? 'rw' : 'ro'],
    },
    ...(files.shm === undefined ? [] : [bind('/dev/shm', files.shm, ['rw'])]),
    ...(files.hostname === undefined ? [] : [bind('/etc/hostname', files.hostname, ['rw'])]),
    ...(files.resolvConf === undefined ? [] : [bind('/etc/resolv.conf', files.resolvConf, ['rw'])]),
  ];
  // A mount over `/` of `/sys` needs to come after it, one below another after that one: shallow first.
  const ordered = own.map((mount, index) => ({ mount, index, depth: depthOf(mount.destination) }));
  ordered.sort((a, b) => a.depth - b.depth || a.index - b.index);
  return [...standard.filter((mount) => !taken.has(mount.destination)), ...ordered.map(({ mount }) => mount)];
}

const bind = (destination: string, source: string, options: readonly string[]): MountSpec => ({
  destination,
  type: 'bind',
  source,
  options: ['rbind', 'rprivate', ...options],
});

const depthOf = (path: string): number => path.split('/').filter((part) => part !== '').length;

function checkedMount(mount: Mount): MountSpec {
  if (!isAbsolute(mount.hostPath))
    throw new WherryError('invalid', `the mount source ${JSON.stringify(mount.hostPath)} is not absolute`);
  if (!isAbsolute(mount.containerPath) || normalize(mount.containerPath) === '/')
    throw new WherryError('invalid', `cannot mount over ${JSON.stringify(mount.containerPath)}`);
  try {
    statSync(mount.hostPath);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new WherryError(
      'notFound',
      `failed to stat "${mount.hostPath}": stat ${mount.hostPath}: no such file or directory`,
      { cause: error },
    );
  }
  if (mount.propagation === 'rshared' || mount.propagation === 'rslave')
    checkPropagation(mount.hostPath, mount.propagation);
  const options = [mount.readOnly === true ? (mount.recursiveReadOnly === true ? 'rro' : 'ro') : 'rw'];
  const propagation =
    mount.propagation === undefined || mount.propagation === 'private' ? 'rprivate' : mount.propagation;
  return {
    destination: normalize(mount.containerPath),
    type: 'bind',
    source: mount.hostPath,
    options: ['rbind', propagation, ...options],
  };
}

/** Mounts travel only through a mount of the host that lets them: refused rather than silently not done, as containerd does. */
function checkPropagation(hostPath: string, wanted: 'rshared' | 'rslave'): void {
  const mount = mountHolding(realpathSync(hostPath));
  const shared = mount?.propagation.some((flag) => flag.startsWith('shared:'));
  const slave = mount?.propagation.some((flag) => flag.startsWith('master:'));
  if (shared === true || (wanted === 'rslave' && slave === true)) return;
  const kind = wanted === 'rshared' ? 'a shared mount' : 'a shared or slave mount';
  throw new WherryError(
    'invalid',
    `path ${JSON.stringify(hostPath)} is mounted on ${JSON.stringify(mount?.mountPoint ?? '/')} but it is not ${kind}`,
  );
}
