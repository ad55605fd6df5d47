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
  checkResources({ ...noLimits, ...limits }, hostView(), false);
}

const noLimits = {
  NanoCpus: 0,
  BlkioWeight: 0,
  MemoryReservation: 0,
  MemorySwappiness: null,
  OomKillDisable: null,
  IOMaximumBandwidth: 0,
  IOMaximumIOps: 0,
} as const;
