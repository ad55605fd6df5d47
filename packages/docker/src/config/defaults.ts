import type { HostConfig } from './types.ts';

export interface HostDefaults {
  readonly cgroupVersion: 1 | 2;
  readonly runtime: string;
  readonly shmSize: number;
}

/** What nobody may read or act on from inside (moby's and containerd's list). */
const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** Fills in what dockerd does before a container is kept. */
export function completeHostConfig(host: HostConfig, defaults: HostDefaults): void {
  if (host.NetworkMode === '' || host.NetworkMode === 'default') host.NetworkMode = 'bridge';
  if (host.LogConfig.Type === '') host.LogConfig.Type = 'json-file';
  if (host.RestartPolicy.Name === '') host.RestartPolicy.Name = 'no';
  // Twice the memory, as long as swap is not spoken of.
  if (host.Memory > 0 && host.MemorySwap === 0) host.MemorySwap = host.Memory * 2;
  if (host.PidsLimit !== null && host.PidsLimit <= 0) host.PidsLimit = null;
  if (defaults.cgroupVersion === 2) host.OomKillDisable = null;
  else host.OomKillDisable ??= false;
  if (host.ShmSize === 0) host.ShmSize = defaults.shmSize;
  if (host.IpcMode === '') host.IpcMode = 'private';
  if (host.CgroupnsMode === '')
    host.CgroupnsMode = defaults.cgroupVersion === 2 && !host.Privileged ? 'private' : 'host';
  if (host.Runtime === '') host.Runtime = defaults.runtime;
  completeSecurity(host);
}

function completeSecurity(host: HostConfig): void {
  const unconfined = (host.SecurityOpt ?? []).includes('systempaths=unconfined');
  if (host.Privileged || unconfined) {
    host.MaskedPaths ??= host.Privileged ? null : [];
    host.ReadonlyPaths ??= host.Privileged ? null : [];
    if (unconfined) host.SecurityOpt = (host.SecurityOpt ?? []).filter((item) => item !== 'systempaths=unconfined');
    return;
  }
  host.MaskedPaths ??= [...maskedPaths];
  host.ReadonlyPaths ??= [...readonlyPaths];
}
