import type { ImageConfig } from '@wherry/oci';
import type { ContainerConfig, PodSandboxConfig } from '@wherry/runtime';
import type { RegisteredRuntime } from '../options.ts';

/** A process that outlives the daemon, told from a later one with the same number by its start time. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

/**
 * `creating` and `starting` are written before the first side effect, so that a crash in between is found and undone:
 * the one to nothing, the other to `notReady`.
 */
export interface SandboxRecord {
  readonly version: 1;
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly createdAt: number;
  readonly phase: 'creating' | 'starting' | 'ready' | 'notReady';
  readonly ips: readonly string[];
  /** Its cgroup is not its own, but one that its user named, of many: nothing in it is killed but its containers. */
  readonly shares?: true | undefined;
  /** The init of a shared process namespace. */
  readonly init?: ProcessIdentity | undefined;
}

/**
 * `starting` stands while the OCI runtime works: a crash then is found `running`, or undone to `exited` where there is
 * a `finishedAt` of the run before, else to `created`.
 */
export interface ContainerRecord {
  readonly version: 1;
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly imageId: string;
  readonly imageConfig?: ImageConfig['config'];
  readonly lowerDirectories: readonly string[];
  /** Layers of the images that it mounts, topmost first, by the names in its configuration. */
  readonly mountedImages?: Readonly<Record<string, readonly string[]>> | undefined;
  readonly stopSignal: string;
  readonly createdAt: number;
  readonly phase: 'creating' | 'created' | 'starting' | 'running' | 'exited' | 'removing';
  readonly startedAt?: number | undefined;
  readonly finishedAt?: number | undefined;
  readonly exitCode?: number | undefined;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  /** The kernel killed a process of its last run for lack of memory. */
  readonly oomKilled?: boolean | undefined;
  /** The OCI runtime of its last start: whatever is registered later, this one knows the container. */
  readonly runtime?: RegisteredRuntime | undefined;
  readonly process?: ProcessIdentity | undefined;
  readonly monitor?: ProcessIdentity | undefined;
}
