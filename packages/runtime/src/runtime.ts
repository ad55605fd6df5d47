import type { Duplex, Readable, Writable } from 'node:stream';
import type { ExtendedResources, LinuxResources } from './resources.ts';
import type { UserMappings } from './user-mappings.ts';

/**
 * The container runtime as its users see it, shaped like CRI v1 (k8s.io/cri-api): a sandbox is a
 * set of namespaces with an address, a container runs in a sandbox. Implemented by `engine`; an
 * adapter to any CRI socket fits behind it. Failures are `WherryError`s (`notFound`, `invalid`,
 * `alreadyExists`, `conflict`, `unavailable`, …) whose message says what the OCI runtime said.
 */
export interface RuntimeService {
  version(): Promise<RuntimeVersion>;
  /** Resolves when containers can be started. Rejects with what is missing (a host program, a kernel feature). */
  ready(): Promise<void>;

  /** Makes the namespaces and the network of a sandbox. All or nothing. */
  runPodSandbox(config: PodSandboxConfig): Promise<PodSandboxStatus>;
  /** Kills what runs in it and gives back its network. Idempotent. */
  stopPodSandbox(id: string): Promise<void>;
  /** Removes a stopped sandbox and its containers. Idempotent. */
  removePodSandbox(id: string): Promise<void>;
  podSandboxStatus(id: string): Promise<PodSandboxStatus>;
  listPodSandboxes(filter?: LabelFilter): Promise<readonly PodSandboxStatus[]>;

  createContainer(sandboxId: string, config: ContainerConfig): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** SIGTERM (or the image's/config's stop signal), then SIGKILL after `timeoutSeconds`. Resolves when it exited. Idempotent. */
  stopContainer(id: string, timeoutSeconds: number): Promise<void>;
  removeContainer(id: string): Promise<void>;
  containerStatus(id: string): Promise<ContainerStatus>;
  listContainers(filter?: LabelFilter & { sandboxId?: string }): Promise<readonly ContainerStatus[]>;

  /** Runs a command to its end. Rejects with `timeout` (and kills it) after `timeoutSeconds` (0: no limit). */
  execSync(id: string, command: readonly string[], timeoutSeconds: number): Promise<ExecResult>;
  exec(id: string, options: ExecOptions): Promise<StreamSession>;
  /** Joins the container's own stdio. */
  attach(id: string, options: AttachOptions): Promise<StreamSession>;
  /** A connection to a TCP port on the loopback of the sandbox's network namespace. */
  portForward(sandboxId: string, port: number): Promise<Duplex>;

  containerStats(id: string): Promise<ContainerStats>;
  listContainerStats(filter?: LabelFilter & { sandboxId?: string }): Promise<readonly ContainerStats[]>;
  updateContainerResources(id: string, resources: ExtendedResources): Promise<void>;
  /**
   * Sets limits of a cgroup that holds those of sandboxes (`kubepods/burstable`), named as in
   * `PodSandboxConfig.cgroupParent`; makes it where it is not there. CRI has no such call: there the
   * kubelet writes to the cgroup file system by itself.
   */
  updateCgroup(path: string, resources: LinuxResources): Promise<void>;
  /** Makes the monitor write to a fresh log file (after the kubelet rotated the old one away). */
  reopenContainerLog(id: string): Promise<void>;
  /** Changes of containers and sandboxes, at once as they happen; ends with the signal. */
  events(signal: AbortSignal): AsyncIterable<RuntimeEvent>;
}

export interface RuntimeVersion {
  readonly runtimeName: string; // 'wherry'
  readonly runtimeVersion: string;
  readonly ociRuntime: string; // 'crun 1.8.1'
}

export interface LabelFilter {
  readonly id?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export type NamespaceMode = 'pod' | 'container' | 'node';

export interface PodSandboxConfig {
  /** 64 hexadecimal digits; default: made up. */
  readonly id?: string | undefined;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace: string;
    readonly attempt: number;
  };
  readonly hostname: string;
  /** Host folder beneath which each container's `logPath` is. */
  readonly logDirectory: string;
  readonly dns?: DnsConfig | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly portMappings?: readonly PortMapping[] | undefined;
  readonly namespaces: SandboxNamespaceModes;
  /** Bytes of `/dev/shm`; default 64 MiB. */
  readonly sharedMemoryBytes?: number | undefined;
  readonly sysctls?: Readonly<Record<string, string>> | undefined;
  /** Path of the pod's cgroup below the machine's cgroup parent, e.g. `kubepods/burstable/pod<uid>`. */
  readonly cgroupParent: string;
  /** Limits of the whole pod, set on `cgroupParent`. */
  readonly resources?: LinuxResources | undefined;
  readonly runtimeHandler?: string | undefined;
}

export interface SandboxNamespaceModes {
  /**
   * `pod`: one that the pod network connects; `unmanaged`: one with loopback alone, which the sandbox's owner connects;
   * `node`: the machine's; `{ container }`: that of another sandbox's running container.
   */
  readonly network: 'pod' | 'unmanaged' | 'node' | { readonly container: string };
  readonly pid: NamespaceMode | { readonly container: string };
  /**
   * `container`: each container has one for itself, with its own `/dev/shm`, which nobody can join;
   * `none`: one of its own, without a `/dev/shm` mount.
   */
  readonly ipc: 'pod' | 'container' | 'node' | 'none' | { readonly container: string };
  /** `container`: each container has one for itself. Default: `pod`, or `node` with the node's network. */
  readonly uts?: 'pod' | 'container' | 'node' | undefined;
  /** Default: `private` on cgroup version 2, `host` on version 1. */
  readonly cgroup?: 'private' | 'host' | undefined;
  /** Default: the machine's users. */
  readonly user?: UserMappings | undefined;
}

export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface PortMapping {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp?: string | undefined;
}

export interface PodSandboxStatus {
  readonly id: string;
  readonly metadata: PodSandboxConfig['metadata'];
  readonly state: 'ready' | 'notReady';
  /** Nanoseconds since the epoch would lose precision in a number: milliseconds. */
  readonly createdAt: number;
  /** Empty with the node's network. The first is the primary address. */
  readonly ips: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Path of the pinned network namespace; `undefined` with the node's network. */
  readonly networkNamespace: string | undefined;
}

export interface Mount {
  readonly hostPath: string;
  /**
   * An image instead of the host, by anything that `ImageService.imageStatus` resolves: read-only, of which `hostPath`
   * says what is mounted (`/` for all). It must be there when the container is made, and is kept as long as that is.
   */
  readonly image?: string | undefined;
  readonly containerPath: string;
  readonly readOnly?: boolean | undefined;
  readonly propagation?: 'private' | 'rprivate' | 'slave' | 'rslave' | 'shared' | 'rshared' | undefined;
  readonly recursiveReadOnly?: boolean | undefined;
  /** False: without the mounts below the source. */
  readonly recursive?: boolean | undefined;
  /** `idmap`, with a user namespace: files keep their owners as the container sees them, where the kernel can. */
  readonly idmapped?: boolean | undefined;
}

/** A file system in memory: `options` as mount(8) takes them (`size=64k`, `mode=1777`, `noexec`). */
export interface TmpfsMount {
  readonly containerPath: string;
  readonly options: readonly string[];
}

export interface SecurityContext {
  readonly privileged?: boolean | undefined;
  readonly addCapabilities?: readonly string[] | undefined; // without CAP_; 'ALL' allowed
  readonly dropCapabilities?: readonly string[] | undefined;
  readonly runAsUser?: number | undefined;
  /** `name`, `uid`, `name:group`, `uid:gid`, looked up in the container's root. */
  readonly runAsUsername?: string | undefined;
  readonly runAsGroup?: number | undefined;
  readonly supplementalGroups?: readonly number[] | undefined;
  /** Names or numbers, looked up in the container's root. */
  readonly supplementalGroupNames?: readonly string[] | undefined;
  readonly readonlyRootfs?: boolean | undefined;
  readonly noNewPrivileges?: boolean | undefined;
  readonly seccomp?:
    | { readonly type: 'RuntimeDefault' | 'Unconfined' | 'Localhost'; readonly path?: string }
    /** A profile in docker's format, as JSON text. */
    | { readonly type: 'Inline'; readonly profile: string }
    | undefined;
  readonly apparmorProfile?: string | undefined;
  readonly maskedPaths?: readonly string[] | undefined;
  readonly readonlyPaths?: readonly string[] | undefined;
  readonly selinux?: Readonly<Record<'user' | 'role' | 'type' | 'level', string>> | undefined;
  /** `/sys/fs/cgroup` and its like writable without all other privileges. */
  readonly writableCgroups?: boolean | undefined;
}

export interface ContainerConfig {
  /** 64 hexadecimal digits; default: made up. */
  readonly id?: string | undefined;
  /** It can be started again once it has exited, with the same writable layer. */
  readonly restartable?: boolean | undefined;
  /** Between the image's layers and the writable one is docker's, with what is mounted on and `/.dockerenv`. */
  readonly initLayer?: boolean | undefined;
  /** Whether `/dev/core` may be there (default), as crun has it; runc, and so docker, does not. */
  readonly coreLink?: boolean | undefined;
  readonly metadata: { readonly name: string; readonly attempt: number };
  /** Anything that `ImageService.imageStatus` resolves. */
  readonly image: string;
  /** Replaces the image's entrypoint (and then its command too). */
  readonly command?: readonly string[] | undefined;
  /** Replaces the image's command. */
  readonly args?: readonly string[] | undefined;
  readonly workingDir?: string | undefined;
  /** Added to the image's environment; later ones win. */
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly tmpfs?: readonly TmpfsMount[] | undefined;
  readonly devices?:
    | readonly { readonly hostPath: string; readonly containerPath: string; readonly permissions: string }[]
    | undefined;
  /** `c 1:3 rwm`, as in cgroup v1's `devices.allow`. */
  readonly deviceCgroupRules?: readonly string[] | undefined;
  readonly rlimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[] | undefined;
  /** Run the command below a small init that reaps and forwards signals. */
  readonly init?: boolean | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Relative to the sandbox's `logDirectory`; CRI log format. Empty: nothing is kept. */
  readonly logPath: string;
  /**
   * Rotation by the engine: at `maxBytes` the file becomes `PATH.1`, that one `PATH.2`, … of which `maxFiles` in all
   * are kept. Default: none (the kubelet rotates pods' logs by itself).
   */
  readonly logRotation?: { readonly maxBytes: number; readonly maxFiles: number } | undefined;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  /** First size of the terminal. */
  readonly terminalSize?: { readonly width: number; readonly height: number } | undefined;
  readonly resources?: ExtendedResources | undefined;
  readonly security: SecurityContext;
  readonly stopSignal?: string | undefined;
  /** Id of a running container of the same sandbox, whose processes it sees and whose end it does not outlive. */
  readonly processesOf?: string | undefined;
}

export type ContainerState = 'created' | 'running' | 'exited' | 'unknown';

export interface ContainerStatus {
  readonly id: string;
  readonly sandboxId: string;
  readonly metadata: ContainerConfig['metadata'];
  readonly state: ContainerState;
  readonly createdAt: number; // ms
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
  readonly exitCode: number | undefined; // 128 + n for signal n
  /** `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun`, … once exited. */
  readonly reason: string | undefined;
  readonly message: string | undefined;
  /** The kernel killed a process of it for lack of memory, its first or another, in its last run. */
  readonly oomKilled?: boolean | undefined;
  /** The name it was created with. */
  readonly image: string;
  /** Digest of the image's config: `sha256:…`. */
  readonly imageId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Absolute host path. */
  readonly logPath: string;
  readonly pid: number | undefined;
  readonly mounts: readonly Mount[];
}

export interface ExecResult {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

/** Which streams a session has. */
export interface AttachOptions {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export interface ExecOptions extends AttachOptions {
  readonly command: readonly string[];
  readonly env?: readonly string[] | undefined;
  readonly user?: string | undefined;
  readonly workingDir?: string | undefined;
  readonly privileged?: boolean | undefined;
  /** First size of the terminal. */
  readonly size?: { readonly width: number; readonly height: number } | undefined;
  /** Disposing the session lets the command run on: its input ends, and what it says is thrown away. Otherwise it is killed. */
  readonly outlivesSession?: boolean | undefined;
}

/** A running exec or attach. Back-pressure is the streams'. Destroying `stdin` half-closes it. */
export interface StreamSession extends AsyncDisposable {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  /** `undefined` with a terminal. */
  readonly stderr: Readable | undefined;
  /** The exit code (attach: of the container), once the output is at its end. Rejects when it could not run. */
  readonly exit: Promise<number>;
  resize(size: { readonly width: number; readonly height: number }): void;
}

export interface ContainerStats {
  readonly id: string;
  readonly sandboxId: string;
  readonly metadata: ContainerConfig['metadata'];
  readonly labels: Readonly<Record<string, string>>;
  readonly timestamp: number; // ms
  readonly cpuUsageNanoseconds: bigint;
  readonly memoryUsageBytes: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryRssBytes: number;
  readonly writableLayerBytes: number | undefined;
  readonly pids: number;
}

export type RuntimeEvent =
  | {
      readonly type: 'containerCreated' | 'containerStarted' | 'containerDeleted';
      readonly containerId: string;
      readonly sandboxId: string;
      readonly labels: Readonly<Record<string, string>>;
    }
  | {
      readonly type: 'containerExited';
      readonly containerId: string;
      readonly sandboxId: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly status: ContainerStatus;
    }
  | { readonly type: 'sandboxStopped'; readonly sandboxId: string; readonly labels: Readonly<Record<string, string>> };

/** Images as the kubelet and the engine see them (CRI ImageService). Implemented by `images`. */
export interface ImageService {
  /** By name, tag, digest or ID (or a unique prefix of one); `undefined` when it is not here. */
  imageStatus(reference: string): Promise<ImageStatus | undefined>;
  /**
   * Fetches an image and gives its ID. Fails with `notFound`, `unauthorized`, `unavailable`,
   * `corrupt`, … and the registry's words.
   */
  pullImage(reference: string, options?: PullOptions): Promise<string>;
  listImages(): Promise<readonly ImageStatus[]>;
  removeImage(reference: string): Promise<void>;
  /** Bytes and files used by images, and where. */
  imageFsInfo(): Promise<{ readonly mountpoint: string; readonly usedBytes: number; readonly inodesUsed: number }>;
}

export interface PullOptions {
  readonly auth?: RegistryAuth | undefined;
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string } | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  /** Once what the reference names is here: with the digest of a manifest or index. */
  readonly onResolved?: ((digest: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type RegistryAuth =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string }
  | { readonly registryToken: string };

export interface PullProgress {
  readonly digest: string;
  /** `announced` or `exists` comes first, in the layers' order; `waiting` where others are fetched before. */
  readonly phase:
    | 'announced'
    | 'waiting'
    | 'downloading'
    | 'verifying'
    | 'downloaded'
    | 'extracting'
    | 'complete'
    | 'exists';
  readonly current?: number;
  readonly total?: number;
}

export interface ImageStatus {
  /** Digest of the config. */
  readonly id: string;
  /** Familiar full names, e.g. `docker.io/library/busybox:1.35`. */
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  readonly user: string; // as in the image's config
}
