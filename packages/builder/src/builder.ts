import type { Platform } from '@wherry/oci';
import type { RegistryAuth } from '@wherry/runtime';

/** Builds images from Dockerfiles. Throws `invalid` for a bad Dockerfile, with its line. */
export interface Builder {
  /** Builds one target; resolves with its image's id. Failing steps throw with docker's words and leave the cache whole. */
  build(request: BuildRequest): Promise<{ readonly imageId: string }>;
  /**
   * Removes folders of `RUN --mount=type=cache` that no build uses, those not used for longest first until `keepBytes`
   * are left; `olderThan`: only those last used before this time (ms); `selects`: only such ones. With `all` alone, what is known of steps is
   * forgotten, too; their images are images and stay.
   */
  prune(options: {
    readonly all: boolean;
    readonly keepBytes?: number;
    readonly olderThan?: number;
    readonly selects?: (record: BuildCacheRecord) => boolean;
  }): Promise<{ readonly deleted: readonly string[]; readonly bytes: number }>;
  usage(): Promise<readonly BuildCacheRecord[]>;
  /** The id of a running build that stands on an image, has made it, or copies from it. */
  userOfImage(image: string): string | undefined;
  /**
   * Unpacks an archive, compressed or not, into an empty folder for use as a context. All files are root's, as dockerd
   * makes them. Throws `invalid` for what leads out of the folder and for device nodes, `corrupt`, `tooLarge`, `exhausted`.
   */
  unpackContext(archive: AsyncIterable<Uint8Array>, folder: string, signal: AbortSignal): Promise<void>;
}

/** As docker's `HostConfig` has it; 0 and empty: none. */
export interface StepResources {
  readonly memoryBytes: number;
  /** Memory and swap; -1: any. */
  readonly memorySwapBytes: number;
  readonly cpuQuota: number;
  readonly cpuPeriod: number;
  readonly cpuShares: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
}

/** `nofile`, `nproc`, …; -1: any. */
export interface ProcessLimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

export interface BuildRequest {
  /** A folder with the context, already unpacked and confined; the builder only reads it. */
  readonly context: string;
  /**
   * Who applied the context's ignore file. `builder` (default): nobody yet. `client`: the sender did, as docker's
   * CLI does; then only the Dockerfile and the ignore file, which it sends in any case, are still left out where
   * patterns name them (dockerd's own rule for `POST /build`), and what an ignore file of the Dockerfile's own names.
   */
  readonly ignoredBy?: 'builder' | 'client' | undefined;
  /** Text of the Dockerfile. */
  readonly dockerfile: string;
  /** The same file's path within the context, for messages; empty when it came from elsewhere. */
  readonly dockerfileName: string;
  readonly tags: readonly string[];
  readonly target?: string | undefined;
  readonly buildArguments: Readonly<Record<string, string | null>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly noCache: boolean;
  readonly pull: boolean;
  readonly platform?: Platform | undefined;
  readonly cacheFrom: readonly string[];
  readonly networkMode: string; // default, none, host, a network's name, or container:NAME
  readonly extraHosts: readonly string[];
  readonly sharedMemoryBytes?: number | undefined;
  /** Of each `RUN`. */
  readonly resources?: StepResources | undefined;
  readonly limits?: readonly ProcessLimit[] | undefined;
  /** Above the cgroups of the steps. */
  readonly cgroupParent?: string | undefined;
  readonly auth: (registry: string) => RegistryAuth | undefined;
  readonly secrets?: Readonly<Record<string, Buffer>> | undefined;
  /** In order; the classic builder's lines are made of them. */
  readonly onProgress: (event: BuildEvent) => void;
  readonly signal: AbortSignal;
}

/**
 * What happens, in the order of the file even where stages run side by side. The classic builder's lines follow one to
 * one: each step is `step`, then (`cached` | `running`, `output`…, `removed`)…, then `done`; `ARG`s before the first
 * `FROM` have a `step` alone. `number` is that of the `FROM` for its build triggers.
 */
export type BuildEvent =
  /** `Step 2/5 : RUN make` */
  | {
      readonly type: 'step';
      readonly number: number;
      readonly total: number;
      readonly instruction: string;
      readonly stage: number;
    }
  /** `# Executing 2 build triggers` */
  | { readonly type: 'triggers'; readonly number: number; readonly count: number }
  /** `` ---> Using cache ``; `done` follows. */
  | { readonly type: 'cached'; readonly number: number; readonly imageId: string }
  /** Why a step did not come from the cache. */
  | { readonly type: 'miss'; readonly number: number; readonly reason: string }
  /** `` ---> Running in 0123456789ab ``; made up for steps that need no container. */
  | { readonly type: 'running'; readonly number: number; readonly containerId: string }
  | { readonly type: 'output'; readonly number: number; readonly stream: 'stdout' | 'stderr'; readonly content: Buffer }
  /** `` ---> Removed intermediate container 0123456789ab `` */
  | { readonly type: 'removed'; readonly number: number; readonly containerId: string }
  /** `` ---> 0123456789ab ``; the id is empty after `FROM scratch`. */
  | { readonly type: 'done'; readonly number: number; readonly imageId: string }
  /** A stage is at its end: `{"aux":{"ID":"sha256:…"}}`. */
  | { readonly type: 'stage'; readonly stage: number; readonly imageId: string }
  /** A registry has the image that a step needs. */
  | { readonly type: 'resolved'; readonly reference: string }
  | {
      readonly type: 'pull';
      readonly reference: string;
      readonly digest: string;
      readonly phase: string;
      readonly current?: number;
      readonly total?: number;
    }
  /** With the digest of a manifest or index; new: the name meant another image before, or none. */
  | { readonly type: 'pulled'; readonly reference: string; readonly digest: string; readonly isNew: boolean }
  /** The target is at its end; its names come next. */
  | { readonly type: 'built'; readonly imageId: string }
  /** `[Warning] One or more build-args [X] were not consumed`, without the mark. */
  | { readonly type: 'warning'; readonly message: string };

export interface BuildCacheRecord {
  readonly id: string;
  readonly type: 'regular' | 'source.local' | 'exec.cachemount';
  readonly description: string;
  readonly inUse: boolean;
  readonly shared: boolean;
  readonly bytes: number;
  readonly createdAt: number; // ms
  readonly lastUsedAt: number; // ms
  readonly usageCount: number;
}
