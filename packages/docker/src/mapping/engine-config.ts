import type {
  ContainerConfig as EngineConfig,
  ExtendedResources,
  Mount,
  SecurityContext,
  TmpfsMount,
} from '@wherry/runtime';
import { normaliseCapabilities } from '../config/capabilities.ts';
import { logSettings } from '../config/log-config.ts';
import { tmpfsPoints } from '../config/mount-specs.ts';
import { parseSecurityOptions } from '../config/security.ts';
import { engineSignal, isSignal, stopSignal } from '../config/signals.ts';
import type { DeviceMapping, HostConfig, MountPoint, Resources } from '../config/types.ts';
import type { DockerContext } from '../containers/context.ts';
import type { HostView } from '../containers/options.ts';
import type { ContainerRecord } from '../containers/record.ts';
import { dockerLabel } from './sandbox-config.ts';

/** What is known only when a container starts. */
export interface StartFacts {
  /** Volumes, binds, and the files of its network. */
  readonly mounts: readonly Mount[];
  /** Numbers of the groups that were given by name, and of the user's own. */
  readonly groups: readonly number[];
  readonly ownGroup?: number | undefined;
  /** Variables of links. */
  readonly env?: readonly string[] | undefined;
}

export const logName = 'container.log';

/** The engine's configuration of a docker container. */
export function engineConfig({ host: view }: DockerContext, record: ContainerRecord, facts: StartFacts): EngineConfig {
  const { id, name, config, host } = record;
  // Before its first start a container's options may be wrong.
  const settings = logSettings(host.LogConfig);
  const log = 'problem' in settings ? ({ driver: 'none', rotation: undefined } as const) : settings;
  const tmpfs = tmpfsOf(host, record.mounts);
  return {
    id,
    restartable: true,
    initLayer: true,
    coreLink: false,
    metadata: { name, attempt: 0 },
    image: record.imageId,
    command: [record.path, ...record.args],
    workingDir: config.WorkingDir || undefined,
    env: [...(facts.env ?? []), ...(config.Env ?? [])].flatMap(variable),
    mounts: facts.mounts,
    ...(tmpfs.length === 0 ? {} : { tmpfs }),
    devices: devicesOf(host).map((device) => ({
      hostPath: device.PathOnHost,
      containerPath: device.PathInContainer,
      permissions: device.CgroupPermissions || 'rwm',
    })),
    deviceCgroupRules: host.DeviceCgroupRules ?? [],
    rlimits: (host.Ulimits ?? []).map(({ Name, Soft, Hard }) => ({
      name: `RLIMIT_${Name.toUpperCase()}`,
      soft: Soft,
      hard: Hard,
    })),
    // Where others' processes are there is an init already.
    init: host.Init === true && host.PidMode === '',
    labels: { ...config.Labels, [dockerLabel]: 'true' },
    annotations: host.Annotations ?? {},
    logPath: log.driver === 'none' ? '' : logName,
    ...(log.rotation === undefined ? {} : { logRotation: log.rotation }),
    stdin: config.OpenStdin,
    stdinOnce: config.StdinOnce,
    tty: config.Tty,
    ...terminalSize(host.ConsoleSize),
    resources: resourcesOf(host, host.OomScoreAdj),
    security: securityOf(record, facts, view),
    stopSignal: stopSignalOf(config.StopSignal),
  };
}

/** Docker's order is height, width; zeros mean that the client has none. */
function terminalSize([height = 0, width = 0]: readonly number[]): Pick<EngineConfig, 'terminalSize'> {
  const right = [height, width].every((size) => size > 0 && size <= 65_535);
  return right ? { terminalSize: { width, height } } : {};
}

/** A variable without a value takes one away; there are none to take but the defaults. */
function variable(text: string): { name: string; value: string }[] {
  const at = text.indexOf('=');
  return at < 0 ? [] : [{ name: text.slice(0, at), value: text.slice(at + 1) }];
}

/** What dockerd mounts with, unless it is told otherwise. */
const tmpfsDefaults = ['noexec', 'nosuid', 'nodev'];

function tmpfsOf(host: HostConfig, mounts: readonly MountPoint[]): TmpfsMount[] {
  return [...tmpfsPoints(host), ...mounts.filter(({ Type }) => Type === 'tmpfs')].map((point) => {
    const own = point.made.tmpfsOptions ?? [];
    const defaults = tmpfsDefaults.filter((option) => !own.includes(option) && !own.includes(option.slice(2)));
    return { containerPath: point.Destination, options: [...defaults, ...own] };
  });
}

/** With all privileges a container has the machine's devices, where they are there. */
function devicesOf({ Devices, Privileged }: HostConfig): DeviceMapping[] {
  const own = Devices ?? [];
  return Privileged ? own.filter(({ PathOnHost, PathInContainer }) => PathOnHost !== PathInContainer) : own;
}

/** One that the kernel does not have is not the engine's. */
function stopSignalOf(text: string | undefined): string | undefined {
  const number = stopSignal(text);
  return text && isSignal(number) ? String(engineSignal(number)) : undefined;
}

function securityOf(
  { config, host }: ContainerRecord,
  facts: StartFacts,
  { apparmor, selinux }: HostView,
): SecurityContext {
  const options = parseSecurityOptions(host, { selinux });
  const [user = '', group = ''] = config.User.split(':', 2);
  const { seccomp } = options;
  return {
    privileged: host.Privileged,
    addCapabilities: normaliseCapabilities('CapAdd', host.CapAdd),
    dropCapabilities: droppedCapabilities(host),
    ...(user === '' ? {} : /^[0-9]+$/.test(user) ? { runAsUser: Number(user) } : { runAsUsername: user }),
    ...(group === '' ? {} : { runAsGroup: facts.ownGroup ?? Number(group) }),
    supplementalGroups: facts.groups,
    readonlyRootfs: host.ReadonlyRootfs,
    noNewPrivileges: options.noNewPrivileges,
    seccomp:
      seccomp === 'unconfined'
        ? { type: 'Unconfined' }
        : seccomp === 'default'
          ? { type: host.Privileged ? 'Unconfined' : 'RuntimeDefault' }
          : { type: 'Inline', profile: seccomp.profile },
    ...(options.apparmor === undefined || !apparmor ? {} : { apparmorProfile: options.apparmor }),
    maskedPaths: host.MaskedPaths ?? [],
    readonlyPaths: host.ReadonlyPaths ?? [],
    ...(options.writableCgroups ? { writableCgroups: true } : {}),
  };
}

/** What is added by name stays, also when it is dropped by name (dockerd's order; CRI's is the other way round). */
function droppedCapabilities({ CapAdd, CapDrop }: HostConfig): string[] {
  const added = normaliseCapabilities('CapAdd', CapAdd);
  const dropped = normaliseCapabilities('CapDrop', CapDrop);
  return dropped.filter((name) => name === 'ALL' || added.includes('ALL') || !added.includes(name));
}

const period = 100_000;

/** Limits as the engine takes them; zeros mean that none was asked for. */
export function resourcesOf(resources: Resources, oomScoreAdj = 0): ExtendedResources {
  const some = (value: number): number | undefined => (value === 0 ? undefined : value);
  const rates = (list: Resources['BlkioDeviceReadBps']): { path: string; value: number }[] | undefined =>
    list === null || list.length === 0 ? undefined : list.map(({ Path, Rate }) => ({ path: Path, value: Rate }));
  const byNano = resources.NanoCpus > 0;
  const throttle = {
    readBps: rates(resources.BlkioDeviceReadBps),
    writeBps: rates(resources.BlkioDeviceWriteBps),
    readIops: rates(resources.BlkioDeviceReadIOps),
    writeIops: rates(resources.BlkioDeviceWriteIOps),
  };
  return {
    cpuPeriod: byNano ? period : some(resources.CpuPeriod),
    cpuQuota: byNano ? Math.floor((resources.NanoCpus * period) / 1e9) : some(resources.CpuQuota),
    cpuShares: some(resources.CpuShares),
    memoryLimitBytes: some(resources.Memory),
    memorySwapLimitBytes: some(resources.MemorySwap),
    memoryReservationBytes: some(resources.MemoryReservation),
    memorySwappiness: resources.MemorySwappiness ?? undefined,
    oomKillDisable: resources.OomKillDisable === true ? true : undefined,
    oomScoreAdj: some(oomScoreAdj),
    cpusetCpus: resources.CpusetCpus || undefined,
    cpusetMems: resources.CpusetMems || undefined,
    cpuRealtimePeriod: some(resources.CpuRealtimePeriod),
    cpuRealtimeRuntime: some(resources.CpuRealtimeRuntime),
    pidsLimit: resources.PidsLimit ?? undefined,
    blockIoWeight: some(resources.BlkioWeight),
    blockIoWeightDevices: resources.BlkioWeightDevice?.map(({ Path, Weight }) => ({ path: Path, value: Weight })),
    ...(Object.values(throttle).every((list) => list === undefined) ? {} : { throttle }),
  };
}
