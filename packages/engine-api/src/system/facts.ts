/** What `docker version` and `docker info` tell of the engine and its machine. */
export interface SystemFacts {
  /** Of this product: `0.1.0`. */
  readonly version: string;
  readonly gitCommit: string;
  /** RFC 3339. */
  readonly buildTime: string;
  /** Stable identity of this engine: a UUID. */
  readonly id: string;
  readonly rootDirectory: string;
  readonly hostname: string;
  readonly kernelVersion: string;
  readonly operatingSystem: string;
  readonly operatingSystemVersion: string;
  /** Go's name of it: `amd64`. */
  readonly architecture: string;
  /** uname's name of it: `x86_64`. */
  readonly machine: string;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly cgroupVersion: 1 | 2;
  /** Which limits the kernel can set. */
  readonly limits: ResourceSupport;
  readonly ipv4Forwarding: boolean;
  /** File system below the images (`extfs`, `xfs`, `btrfs`, …). */
  readonly backingFilesystem: string;
  readonly storage: { readonly metacopy: boolean };
  /** OCI runtimes by name, each with its path; the first is the default. */
  readonly runtimes: readonly RuntimeFacts[];
  /** The monitor that each container has. */
  readonly monitor: { readonly name: string; readonly version: string };
  readonly initBinary: string;
  /** `name=seccomp,profile=builtin`, `name=apparmor`, … */
  readonly securityOptions: readonly string[];
  readonly insecureRegistries: readonly string[];
  readonly registryMirrors: readonly string[];
  readonly labels: readonly string[];
  readonly logDrivers: readonly string[];
  readonly networkDrivers: readonly string[];
  readonly warnings: readonly string[];
}

export interface RuntimeFacts {
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
  /** `1.8.1`, and what it was built from where that is known. */
  readonly version: string;
  readonly commit: string;
}

export interface ResourceSupport {
  readonly memory: boolean;
  readonly swap: boolean;
  readonly oomKillDisable: boolean;
  readonly cpuQuota: boolean;
  readonly cpuShares: boolean;
  readonly cpuset: boolean;
  readonly pids: boolean;
}
