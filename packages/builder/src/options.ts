import type { Clock, Logger, Random } from '@wherry/base';
import type { ImageLibrary, RootfsSource } from '@wherry/images';
import type { Platform } from '@wherry/oci';
import type { StepResources } from './builder.ts';
import type { StepRunner } from './step-runner.ts';

/** What the builder needs of the image store. */
export type BuilderImages = Pick<
  ImageLibrary,
  'find' | 'details' | 'manifests' | 'summaries' | 'tag' | 'pull' | 'commitLayer' | 'assemble' | 'holdLayers'
> &
  Pick<RootfsSource, 'release'>;

export interface BuilderOptions {
  /** Made when it is missing: the cache, and what builds under way write. On the file system of the images. */
  readonly directory: string;
  /** Ends with a reboot: mounts, secrets. */
  readonly runDirectory: string;
  readonly images: BuilderImages;
  readonly runner: StepRunner;
  /** Throws what is wrong with resources on this machine, before a step runs. */
  readonly checkResources?: ((resources: StepResources) => void) | undefined;
  /** What images are built for (default: this machine's). */
  readonly platform?: Platform | undefined;
  /** RUN steps at the same time, of all builds. Default: 4. */
  readonly parallelSteps?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly log?: Logger | undefined;
}
