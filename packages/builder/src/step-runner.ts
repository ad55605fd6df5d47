import type { ExtendedResources } from '@wherry/runtime';
import type { ProcessLimit } from './builder.ts';

/** Runs the commands of RUN steps, each in a sandbox of its own. */
export interface StepRunner {
  /** Rejects where the command could not be run, `cancelled` once the signal fires; then nothing is left of it. */
  run(step: RunStep): Promise<StepResult>;
  /** Removes whatever a process that died has left of its steps. */
  cleanUp(): Promise<void>;
}

export interface RunStep {
  /** 64 hexadecimal digits. */
  readonly id: string;
  /** Id of an image that is here; the command sees its files and gets its config. */
  readonly image: string;
  readonly command: readonly string[];
  /** `NAME=value`: the whole environment. */
  readonly environment: readonly string[];
  /** As an image's `User`; names are the image's own. */
  readonly user: string;
  readonly workingDirectory: string;
  readonly mounts: readonly StepMount[];
  /** `default`, `none`, `host`, a network's name, or `container:NAME`. */
  readonly network: string;
  /** `name:address`, for `/etc/hosts`. */
  readonly extraHosts: readonly string[];
  readonly sharedMemoryBytes: number | undefined;
  readonly resources: ExtendedResources | undefined;
  readonly limits: readonly ProcessLimit[];
  /** Above the step's cgroup; default: the runner's. */
  readonly cgroupParent: string | undefined;
  /** Where the result's files are put: a path that is free, on the file system of the images. */
  readonly upperDirectory: string;
  /** No more is read while the result is awaited. */
  readonly onOutput: (stream: 'stdout' | 'stderr', content: Buffer) => Promise<void> | undefined;
  readonly signal: AbortSignal;
}

export type StepMount =
  | {
      readonly type: 'bind';
      readonly hostPath: string;
      readonly target: string;
      readonly readOnly: boolean;
      /** What has to be made to mount it stays in the layer. */
      readonly keepsTarget?: boolean;
    }
  | { readonly type: 'tmpfs'; readonly target: string; readonly sizeBytes: number | undefined };

export interface StepResult extends AsyncDisposable {
  readonly exitCode: number;
  /** What the command changed, as an overlay's upper folder. Whoever wants it takes it before the disposal. */
  readonly upperDirectory: string;
}
