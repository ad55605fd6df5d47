export interface LinuxResources {
  readonly cpuPeriod?: number | undefined; // microseconds
  readonly cpuQuota?: number | undefined; // microseconds per period; -1: none
  readonly cpuShares?: number | undefined; // 2 … 262144
  readonly memoryLimitBytes?: number | undefined;
  readonly memorySwapLimitBytes?: number | undefined;
  readonly oomScoreAdj?: number | undefined;
  readonly cpusetCpus?: string | undefined;
  readonly cpusetMems?: string | undefined;
  readonly pidsLimit?: number | undefined;
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[] | undefined;
  /** cgroup v2 keys as they are. */
  readonly unified?: Readonly<Record<string, string>> | undefined;
}

/** What `LinuxResources` has beyond CRI's: docker's block I/O and memory settings. */
export interface ExtendedResources extends LinuxResources {
  readonly memoryReservationBytes?: number | undefined;
  readonly memorySwappiness?: number | undefined;
  readonly oomKillDisable?: boolean | undefined;
  readonly cpuRealtimePeriod?: number | undefined;
  readonly cpuRealtimeRuntime?: number | undefined;
  readonly blockIoWeight?: number | undefined; // 10 … 1000
  readonly blockIoWeightDevices?: readonly BlockDeviceValue[] | undefined;
  readonly throttle?:
    | {
        readonly readBps?: readonly BlockDeviceValue[] | undefined;
        readonly writeBps?: readonly BlockDeviceValue[] | undefined;
        readonly readIops?: readonly BlockDeviceValue[] | undefined;
        readonly writeIops?: readonly BlockDeviceValue[] | undefined;
      }
    | undefined;
}

export interface BlockDeviceValue {
  /** Host path of a block device. */
  readonly path: string;
  readonly value: number;
}
