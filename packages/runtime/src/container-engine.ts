import type {
  AttachOptions,
  ContainerConfig,
  ExecOptions,
  PodSandboxConfig,
  PodSandboxStatus,
  RuntimeService,
  StreamSession,
} from './runtime.ts';
import type { UserMappings } from './user-mappings.ts';

/**
 * The engine as the docker object model and the builder see it: CRI's calls, and those for containers that run
 * more than once. A docker container is a sandbox with one container, both of the same id. Implemented by `engine`.
 *
 * Life of such a container: `definePodSandbox` and `createContainer` (with `restartable`) write it down and make its
 * writable layer; `startPodSandbox`, connecting its network, and `startContainer` run it; after `containerExited` its
 * owner calls `stopPodSandbox`, which gives back namespaces and leaves both to be started again;
 * `removePodSandbox` removes both.
 */
export interface ContainerEngine extends RuntimeService {
  /** The file with records that could not be read, for somebody to mend: what has no record may have had one. */
  readonly unreadableRecords?: string | undefined;
  /** Writes a sandbox down and makes nothing of it yet: it is `notReady`. Throws `alreadyExists` for a taken id. */
  definePodSandbox(config: PodSandboxConfig): Promise<string>;
  /** Makes the namespaces of a `notReady` sandbox, with the config that it has now. All or nothing. */
  startPodSandbox(id: string): Promise<PodSandboxStatus>;
  /** Replaces a `notReady` sandbox's config, for its next start. */
  updatePodSandbox(id: string, change: (config: PodSandboxConfig) => PodSandboxConfig): Promise<void>;
  /** Replaces a container's config, for its next start. Resources of a running one: `updateContainerResources`. */
  updateContainer(id: string, change: (config: ContainerConfig) => ContainerConfig): Promise<void>;

  /** Says that a start or a command is about to come: what the kernel takes its time for begins meanwhile. */
  anticipate(): void;
  /**
   * Resolves when a container, as it is defined now, and its hold on its image outlast a power cut. Without it, they
   * outlast the daemon, and may be gone after a power cut with all that was written.
   */
  persist(id: string): Promise<void>;

  /**
   * As `RuntimeService.attach`; for a container that does not run, the session waits for its next start and misses
   * nothing of it: it is joined before the first process is let go. Disposing it before that withdraws it.
   */
  attachEarly(id: string, options: AttachOptions): Promise<StreamSession>;
  exec(id: string, options: ExecOptions): Promise<ExecStreamSession>;
  /**
   * Says that an `exec` with these streams is about to come: what does not depend on the command is done meanwhile, and
   * undone after a second without it.
   */
  anticipateExec(id: string, streams: AttachOptions): void;
  /** Sets the size of a running container's terminal. Throws `conflict` when it does not run. */
  resizeContainer(id: string, size: { readonly width: number; readonly height: number }): Promise<void>;
  /** Sends a signal (`SIGTERM`, or a number for real-time ones) to the first process. Throws `conflict`. */
  killContainer(id: string, signal: string | number): Promise<void>;
  /** Freezes every process of the container. Throws `conflict`. It survives a restart of the daemon. */
  pauseContainer(id: string): Promise<void>;
  unpauseContainer(id: string): Promise<void>;
  isPaused(id: string): Promise<boolean>;
  /** Host pids of all of a running container's processes. */
  containerProcesses(id: string): Promise<readonly number[]>;
  /** One reading of all counters, of a running container. */
  containerMetrics(id: string): Promise<ContainerMetrics>;

  /** The container's root file system, mounted at least until the result is disposed; for one that runs, see `processRoot`. */
  openRootfs(id: string): Promise<OpenRootfs>;
  /** Bytes in a container's writable layer, by walking it. */
  writableLayerSize(id: string): Promise<number>;
}

export interface OpenRootfs extends Disposable {
  /** Where the merged root is mounted on the host. Volumes are not in it. */
  readonly path: string;
  /** `/proc/PID/root` of a running container: with its volumes, as its processes see it. */
  readonly processRoot: string | undefined;
  /** The writable layer: what the container added and changed, with overlayfs' whiteouts and opaque marks. */
  readonly upperDirectory: string;
  /** The image's unpacked layers, topmost first, with that of `initLayer` above them. */
  readonly lowerDirectories: readonly string[];
  /** Files in `path` and `upperDirectory` belong to users as these map them; those below do not. */
  readonly users?: UserMappings | undefined;
}

export interface ExecStreamSession extends StreamSession {
  /** Host pid of the command, once it runs. Rejects when it could not run. */
  readonly pid: Promise<number>;
}

/** All counters of a container's cgroup, in one shape for version 1 and 2. Absent controllers give zeros. */
export interface ContainerMetrics {
  readonly readAt: number; // ms
  readonly cpu: {
    readonly totalNanoseconds: bigint;
    readonly userNanoseconds: bigint;
    readonly systemNanoseconds: bigint;
    /** Version 1 only. */
    readonly perCpuNanoseconds: readonly bigint[] | undefined;
    readonly periods: number;
    readonly throttledPeriods: number;
    readonly throttledNanoseconds: bigint;
  };
  readonly memory: {
    readonly usageBytes: number;
    readonly maxUsageBytes: number;
    readonly limitBytes: number | undefined;
    readonly failures: number;
    /** `memory.stat` as the kernel has it. */
    readonly statistics: Readonly<Record<string, number>>;
  };
  /** Per device and operation (`read`, `write`, …). */
  readonly blockIo: readonly {
    readonly major: number;
    readonly minor: number;
    readonly operation: string;
    readonly bytes: number;
    readonly operations: number;
  }[];
  readonly pids: { readonly current: number; readonly limit: number | undefined };
}
