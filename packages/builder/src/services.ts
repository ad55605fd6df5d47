import type { Clock, KeyedMutex, Logger, Random, Semaphore } from '@wherry/base';
import type { Platform } from '@wherry/oci';
import type { UsedImages } from './build/used-images.ts';
import type { StepResources } from './builder.ts';
import type { StepCache } from './cache/step-cache.ts';
import type { BuilderImages } from './options.ts';
import type { BuilderPaths } from './paths.ts';
import type { CacheMounts } from './run/cache-mounts.ts';
import type { StepRunner } from './step-runner.ts';
import type { BuildFiles } from './threads/build-files.ts';

/** What every build of one builder works with. */
export interface Services {
  readonly images: BuilderImages;
  readonly runner: StepRunner;
  readonly files: BuildFiles;
  readonly checkResources: (resources: StepResources) => void;
  readonly cache: StepCache;
  readonly cacheMounts: CacheMounts;
  readonly paths: BuilderPaths;
  readonly platform: Platform;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Commands that run at the same time. */
  readonly runs: Semaphore;
  /** Equal steps of builds side by side are done once. */
  readonly steps: KeyedMutex;
  readonly used: UsedImages;
}
