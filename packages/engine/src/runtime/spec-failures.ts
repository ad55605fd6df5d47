import type { BlockIoSpec, RuntimeSpec } from '@wherry/oci';

/** A setting of the cgroup that the kernel does not take: crun names the file alone. */
export function controlFailure(text: string, { cgroupsPath, resources }: RuntimeSpec['linux']): string | undefined {
  const [, file = '', reason = ''] = /^writ(?:ing file|e) `([a-z0-9_.]+)`: (.*)$/.exec(text) ?? [];
  if (file === '') return undefined;
  const { cpu, memory, pids, blockIO } = resources ?? {};
  const rate = (devices: BlockIoSpec['throttleReadBpsDevice']): string | undefined =>
    devices?.[0] && `${devices[0].major}:${devices[0].minor} ${devices[0].rate}`;
  const values: Readonly<Record<string, string | number | undefined>> = {
    'cpu.cfs_quota_us': cpu?.quota,
    'cpu.cfs_period_us': cpu?.period,
    'cpu.rt_runtime_us': cpu?.realtimeRuntime,
    'cpu.rt_period_us': cpu?.realtimePeriod,
    'cpu.shares': cpu?.shares,
    'memory.limit_in_bytes': memory?.limit,
    'memory.memsw.limit_in_bytes': memory?.swap,
    'memory.soft_limit_in_bytes': memory?.reservation,
    'pids.max': pids?.limit,
    'blkio.throttle.read_bps_device': rate(blockIO?.throttleReadBpsDevice),
    'blkio.throttle.write_bps_device': rate(blockIO?.throttleWriteBpsDevice),
    'blkio.throttle.read_iops_device': rate(blockIO?.throttleReadIOPSDevice),
    'blkio.throttle.write_iops_device': rate(blockIO?.throttleWriteIOPSDevice),
  };
  const value = values[file];
  if (value === undefined) return undefined;
  const path = `/sys/fs/cgroup/${file.split('.', 1)[0]}${cgroupsPath}/${file}`;
  return `error during container init: error setting cgroup config for procHooks process: failed to write "${value}": write ${path}: ${reason.toLowerCase()}`;
}

/** Options of mount(8) that are flags of mount(2), for runc's words. */
const flagsOf: Readonly<Record<string, number>> = { ro: 1, nosuid: 2, nodev: 4, noexec: 8, noatime: 1024 };
const notData = new Set(['rw', 'suid', 'dev', 'exec', 'rprivate', 'private', 'defaults', 'atime']);

/** A mount that the kernel does not make: crun names what it mounts, which need not be what was asked for. */
export function mountFailure(text: string, mounts: RuntimeSpec['mounts']): string | undefined {
  const [, target = '', reason = ''] = /^mount `.*` to `(.*)`: (.*)$/.exec(text) ?? [];
  const mount = mounts.find(({ destination }) => destination === `/${target}`);
  if (target === '' || (mount?.type !== 'tmpfs' && mount?.type !== 'bind')) return undefined;
  if (mount.type === 'bind') {
    const flags = mount.options?.includes('rbind') ? '0x5000' : '0x1000';
    return `error during container init: error mounting "${mount.source}" to rootfs at "/${target}": mount ${mount.source}:/${target} (via /proc/self/fd/6), flags: ${flags}: ${reason.toLowerCase()}`;
  }
  const options = mount.options ?? [];
  const flags = options.reduce((sum, option) => sum | (flagsOf[option] ?? 0), 0);
  const data = options.filter((option) => flagsOf[option] === undefined && !notData.has(option)).join(',');
  return `error during container init: error mounting "tmpfs" to rootfs at "/${target}": mount tmpfs:/${target} (via /proc/self/fd/6), flags: 0x${flags.toString(16)}, data: ${data}: ${reason.toLowerCase()}`;
}
