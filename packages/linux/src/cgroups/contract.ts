import type { ContainerMetrics, ExtendedResources } from '@wherry/runtime';

/** Figures of a cgroup and all below it. */
export interface CgroupStats {
  readonly cpuUsageNanoseconds: bigint;
  readonly memoryUsageBytes: number;
  /** Usage without inactive file pages: what the kubelet calls the working set. */
  readonly memoryWorkingSetBytes: number;
  /** Anonymous memory. */
  readonly memoryRssBytes: number;
  readonly pids: number;
}

/** Which settings the kernel has: some depend on how it was built, on version 2 some are gone. */
export interface CgroupFeatures {
  readonly memoryLimit: boolean;
  readonly swapLimit: boolean;
  readonly memoryReservation: boolean;
  readonly swappiness: boolean;
  readonly oomKillDisable: boolean;
  readonly cpuShares: boolean;
  readonly cpuQuota: boolean;
  readonly cpuRealtime: boolean;
  readonly cpuset: boolean;
  readonly pidsLimit: boolean;
  readonly blockIoWeight: boolean;
  readonly blockIoThrottle: boolean;
  readonly hugepages: boolean;
}

/**
 * Control groups of version 1 or 2 behind one interface. A path (`/wherry/kubepods/pod1`) names the
 * same group in every hierarchy. Failures are system errors; `notFound` for a group that is not there
 * except where a function says otherwise.
 */
export interface Cgroups {
  readonly version: 1 | 2;
  /** As seen in a group that is there, not the root. */
  features(path: string): CgroupFeatures;
  /** Makes the group and those above it, ready to take limits and processes. Idempotent. */
  create(path: string): void;
  /** Sets what is given and leaves the rest. Throws `invalid` naming the setting and its value. */
  limit(path: string, resources: ExtendedResources): void;
  /** Moves a process into the group. */
  attach(path: string, pid: number): void;
  /**
   * Moves a fresh child of this process out of this process' groups into `path`, for `processes` and `kill` to find.
   * Cheaper than `attach`: each move waits for every processor (a write lock of `cgroup_threadgroup_rwsem`), and where
   * this process is in the root of a version 1 hierarchy there is nothing to move out of. It waits elsewhere than on
   * the event loop.
   */
  attachChild(path: string, pid: number): Promise<void>;
  /**
   * Begins a wait for every processor, by a move that changes nothing, so that the moves of the next milliseconds need
   * not begin with one (Linux' `rcu_sync`: 10 ms after a quiet time, and next to nothing behind another move). Costs
   * some microseconds of a pool thread; failures are of no importance.
   */
  anticipateMoves(): void;
  /** Processes of the group and of all below it. Empty when there is no such group. */
  processes(path: string): number[];
  /** Sends SIGKILL to all of them, also to those born meanwhile. Gives how many there were. */
  kill(path: string): number;
  /** Stops or lets run all processes. They may take a moment to stop: `isFrozen` is what was asked for. */
  freeze(path: string, frozen: boolean): void;
  /** Whether the group was told to be frozen. False when there is no such group. */
  isFrozen(path: string): boolean;
  /** Whether all of its processes have stopped. */
  isStill(path: string): boolean;
  /** Removes the group and those below it. False while processes are in it; true when it is gone. */
  remove(path: string): boolean;
  exists(path: string): boolean;
  stats(path: string): CgroupStats;
  /** All counters; zeros where a controller or the group is not there. */
  metrics(path: string): Omit<ContainerMetrics, 'readAt'>;
  /** How often the kernel killed a process of this group (and on v2, below it) for lack of memory. */
  oomKills(path: string): number;
}
