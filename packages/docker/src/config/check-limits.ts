import { hostView } from '../containers/host-view.ts';
import { checkResources } from './resources.ts';
import type { Resources } from './types.ts';

/** Limits as `HostConfig` has them; 0 and empty: none. */
export type Limits = Pick<
  Resources,
  'Memory' | 'MemorySwap' | 'CpuQuota' | 'CpuPeriod' | 'CpuShares' | 'CpusetCpus' | 'CpusetMems'
>;

/** Checks limits of what is no container of docker's: a build's steps. Throws `invalid` in dockerd's words. */
export function checkLimits(limits: Limits): void {
  // What the kernel lacks is for whoever sets the limits to leave out.
  checkResources({ ...noLimits, ...limits }, hostView({ cgroupFeatures: everyFeature }), false);
}

const noLimits = {
  NanoCpus: 0,
  BlkioWeight: 0,
  MemoryReservation: 0,
  MemorySwappiness: null,
  OomKillDisable: null,
  IOMaximumBandwidth: 0,
  IOMaximumIOps: 0,
  PidsLimit: null,
  CpuPercent: 0,
  BlkioWeightDevice: null,
  BlkioDeviceReadBps: null,
  BlkioDeviceWriteBps: null,
  BlkioDeviceReadIOps: null,
  BlkioDeviceWriteIOps: null,
} as const;

/** A host that can limit everything. */
export const everyFeature = {
  memoryLimit: true,
  swapLimit: true,
  memoryReservation: true,
  swappiness: true,
  oomKillDisable: true,
  cpuShares: true,
  cpuQuota: true,
  cpuRealtime: true,
  cpuset: true,
  pidsLimit: true,
  blockIoWeight: true,
  blockIoThrottle: true,
  hugepages: true,
} as const;
