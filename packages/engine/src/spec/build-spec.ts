import { readFileSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import type { CgroupFeatures } from '@wherry/linux';
import type { ImageConfig, LinuxSpec, ProcessSpec, RuntimeSpec } from '@wherry/oci';
import type { ContainerConfig, PodSandboxConfig, UserMappings } from '@wherry/runtime';
import { refusedBefore } from '../runtime/failures.ts';
import { resourceLimits } from '../runtime/messages.ts';
import { availableCapabilities, capabilitiesOf } from './capabilities.ts';
import { devicesOf } from './devices.ts';
import { initPath, mountsOf, type SandboxFiles } from './mounts.ts';
import { maskedPaths, readonlyPaths } from './paths.ts';
import { resourcesSpec } from './resources.ts';
import { seccompOf } from './seccomp.ts';
import { isKnownUser, resolveUser } from './user.ts';
import { refuseZeroBytes } from './zero-bytes.ts';

/** Paths of the sandbox's namespaces; `undefined` for those of the node, `own` for a fresh one of the container. */
export interface SandboxNamespaces {
  readonly net: string | undefined;
  readonly ipc: string | 'own' | undefined;
  readonly uts: string | 'own' | undefined;
  /** The shared process namespace; `node`: the host's; `undefined`: one of its own. */
  readonly pid: string | 'node' | undefined;
  /** One to join; `undefined`: the machine's users. */
  readonly user: string | undefined;
  /** Default: `private` on version 2 without all privileges, else `host`. */
  readonly cgroup: 'private' | 'host' | undefined;
}

export interface SpecRequest {
  readonly rootfs: string;
  readonly image: Pick<ImageConfig, 'config'>;
  readonly config: ContainerConfig;
  readonly sandbox: PodSandboxConfig;
  readonly namespaces: SandboxNamespaces;
  readonly files: SandboxFiles;
  readonly cgroupsPath: string;
  /** Of the host. */
  readonly cgroupVersion: 1 | 2;
  readonly cgroupFeatures: CgroupFeatures;
}

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The `config.json` of a container whose root file system is mounted at `rootfs`. */
export function buildSpec(request: SpecRequest): RuntimeSpec {
  const { config, sandbox, namespaces } = request;
  const process = processSpec(request);
  refuseZeroBytes(process);
  return {
    ociVersion: '1.0.2',
    ...(namespaces.uts === 'own' ? { hostname: sandbox.hostname } : {}),
    process,
    root: { path: request.rootfs, readonly: config.security.readonlyRootfs === true },
    mounts: mountsOf(config, request.files),
    annotations: config.annotations,
    linux: linuxSpec(request),
  };
}

function processSpec({ rootfs, image, config, sandbox }: SpecRequest): ProcessSpec {
  const { security } = config;
  const label = security.selinux;
  const user = resolveUser(rootfs, image.config?.User ?? '', security);
  return {
    terminal: config.tty,
    ...(config.tty && config.terminalSize !== undefined ? { consoleSize: config.terminalSize } : {}),
    user,
    args: config.init === true ? [initPath, '--', ...commandOf(config, image)] : commandOf(config, image),
    env: environmentOf(config, image, sandbox, isKnownUser(rootfs, user.uid) || mountsUsers(config)),
    cwd: config.workingDir || image.config?.WorkingDir || '/',
    capabilities: capabilitiesOf(security),
    ...(config.rlimits?.length ? { rlimits: config.rlimits.map(rlimit) } : {}),
    noNewPrivileges: security.noNewPrivileges === true,
    ...oomScore(config),
    ...(security.apparmorProfile === undefined || security.apparmorProfile === ''
      ? {}
      : { apparmorProfile: security.apparmorProfile }),
    ...(label === undefined ? {} : { selinuxLabel: `${label.user}:${label.role}:${label.type}:${label.level}` }),
  };
}

/** `command` replaces the image's entrypoint and its command, `args` only the latter. */
function commandOf(config: ContainerConfig, image: SpecRequest['image']): string[] {
  const replaced = config.command !== undefined && config.command.length > 0;
  const given = config.args !== undefined && config.args.length > 0;
  const first = replaced ? config.command : (image.config?.Entrypoint ?? []);
  const rest = given ? config.args : replaced ? [] : (image.config?.Cmd ?? []);
  const args = [...first, ...rest];
  if (args.length === 0) throw new WherryError('invalid', 'no command specified');
  return args;
}

/** Whether a mount brings users of its own: the runtime looks them up where it is made. */
const mountsUsers = ({ mounts }: ContainerConfig): boolean =>
  mounts.some(({ containerPath }) => containerPath === '/etc' || containerPath === '/etc/passwd');

/** A user whom the image does not know is at home in `/`, as with runc; crun leaves the variable out. */
function environmentOf(
  config: ContainerConfig,
  image: SpecRequest['image'],
  sandbox: PodSandboxConfig,
  hasHome: boolean,
): string[] {
  const values = new Map<string, string>();
  const put = (text: string): void => {
    const at = text.indexOf('=');
    values.set(at < 0 ? text : text.slice(0, at), at < 0 ? '' : text.slice(at + 1));
  };
  put(defaultPath);
  put(`HOSTNAME=${sandbox.hostname}`);
  if (config.tty) put('TERM=xterm');
  const replaced = new Set(config.env.map(({ name }) => name));
  for (const entry of image.config?.Env ?? []) if (!replaced.has(entry.split('=', 1)[0] as string)) put(entry);
  for (const { name, value } of config.env) values.set(name, value);
  if (!hasHome && !values.has('HOME')) values.set('HOME', '/');
  return [...values].map(([name, value]) => `${name}=${value}`);
}

function linuxSpec(request: SpecRequest): LinuxSpec {
  const { config, sandbox, namespaces, cgroupsPath, cgroupVersion, cgroupFeatures } = request;
  const { security } = config;
  const privileged = security.privileged === true;
  const devices = devicesOf(config);
  const seccomp = seccompOf(security, capabilitiesOf(security).bounding);
  type Joined = 'network' | 'ipc' | 'uts' | 'user';
  const joined = (type: Joined, path: string | undefined): { type: Joined; path?: string }[] =>
    path === undefined ? [] : [path === 'own' ? { type } : { type, path }];
  const cgroup = namespaces.cgroup ?? (cgroupVersion === 2 && !privileged ? 'private' : 'host');
  return {
    namespaces: [
      { type: 'mount' },
      ...joined('network', namespaces.net),
      ...joined('ipc', namespaces.ipc),
      ...joined('uts', namespaces.uts),
      ...joined('user', namespaces.user),
      ...(namespaces.pid === 'node'
        ? []
        : namespaces.pid === undefined
          ? [{ type: 'pid' as const }]
          : [{ type: 'pid' as const, path: namespaces.pid }]),
      // On version 2 what runs inside finds its own limits at the root of /sys/fs/cgroup (KEP-2254, containerd's CRI).
      ...(cgroup === 'private' ? [{ type: 'cgroup' as const }] : []),
    ],
    ...(namespaces.user === undefined ? {} : userMappings(sandbox.namespaces.user)),
    cgroupsPath,
    resources: { ...resourcesSpec(config.resources ?? {}, cgroupVersion, cgroupFeatures), devices: devices.rules },
    devices: devices.devices,
    ...(seccomp === undefined ? {} : { seccomp }),
    ...rootPropagation(config),
    maskedPaths: privileged ? [] : (security.maskedPaths ?? maskedPaths),
    readonlyPaths: privileged ? [] : (security.readonlyPaths ?? readonlyPaths),
  };
}

/** runc before 1.2 wants them also for a namespace that has them already; later ones check that they are the same. */
function userMappings(users: UserMappings | undefined): Pick<LinuxSpec, 'uidMappings' | 'gidMappings'> {
  if (users === undefined) return {};
  const [uidMappings, gidMappings] = [users.uidMappings, users.gidMappings].map((mappings) =>
    mappings.map(({ containerId, hostId, size }) => ({ containerID: containerId, hostID: hostId, size })),
  );
  return { uidMappings: uidMappings!, gidMappings: gidMappings! };
}

/** Mounts travel through the container's root only when one of its mounts asks for it. */
function rootPropagation(config: ContainerConfig): { readonly rootfsPropagation?: string } {
  const kinds = config.mounts.map((mount) => mount.propagation?.replace(/^r/, ''));
  if (kinds.includes('shared')) return { rootfsPropagation: 'rshared' };
  return kinds.includes('slave') ? { rootfsPropagation: 'rslave' } : {};
}

/** `nofile` and `RLIMIT_NOFILE` are the same; −1 is no limit. */
function rlimit({ name, soft, hard }: NonNullable<ContainerConfig['rlimits']>[number]): {
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
} {
  const type = `RLIMIT_${name.toUpperCase().replace(/^RLIMIT_/, '')}`;
  if (!resourceLimits.includes(type.slice('RLIMIT_'.length))) throw refusedBefore(`wrong rlimit value: ${type}`);
  return { type, soft, hard };
}

/**
 * Without CAP_SYS_RESOURCE a score can only rise. For a pod the own one is then the least (containerd's
 * `restrict_oom_score_adj`); docker lets a container that wants less fail.
 */
function oomScore({ resources, restartable }: ContainerConfig): { readonly oomScoreAdj?: number } {
  const wanted = resources?.oomScoreAdj;
  if (wanted === undefined) return {};
  if (availableCapabilities().has('SYS_RESOURCE') || (restartable === true && wanted < 0))
    return { oomScoreAdj: wanted };
  return { oomScoreAdj: Math.max(wanted, Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))) };
}
