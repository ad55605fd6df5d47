import type { Clock, Logger, Random } from '@wherry/base';
import type { RootfsSource } from '@wherry/images';
import type { CgroupFeatures } from '@wherry/linux';
import type { PodNetwork } from '@wherry/network';
import type { ContainerEngine } from '@wherry/runtime';

/** A program that follows the OCI runtime specification's command line (`crun`, `runc`), as it is known by name. */
export interface RegisteredRuntime {
  /** A RuntimeClass' handler, docker's `--runtime`. */
  readonly name: string;
  /** Name or absolute path of the program. */
  readonly path: string;
  /** Before the command of each call. */
  readonly args: readonly string[];
}

export interface EngineOptions {
  /** Survives a reboot: records, the writable layers. */
  readonly rootDirectory: string;
  /** Ends with a reboot (a tmpfs such as /run): namespaces, mounts, monitors' files. */
  readonly runDirectory: string;
  /** Absolute cgroup path below which everything of this engine is. */
  readonly cgroupParent: string;
  readonly network: PodNetwork;
  readonly images: RootfsSource;
  /** The first is the default. Default: crun alone. */
  readonly runtimes?: readonly RegisteredRuntime[];
  /** Starts of containers at the same time. Default: 4. */
  readonly parallelStarts?: number;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Logger;
}

/**
 * The container engine. Disposing it lets go of everything and leaves the containers running; the
 * next engine with the same folders takes them over.
 */
export interface Engine extends ContainerEngine, AsyncDisposable {
  /**
   * Ends and removes every sandbox and container, and every mount, namespace and cgroup of this engine. With
   * `keepRestartable`, containers that can be started again are only ended: they stay with their writable layers.
   */
  destroyAll(options?: { readonly keepRestartable?: boolean }): Promise<void>;
  /** Which settings of the cgroups the kernel has. */
  cgroupFeatures(): CgroupFeatures;
}
