import { codeOf, messageOf, WherryError } from '@wherry/base';
import type { LayerRecord } from '@wherry/images';
import type { BuildEvent, BuildRequest } from '../builder.ts';
import type { TreeSpec } from '../files/tree-spec.ts';
import type { Services } from '../services.ts';
import type { CacheProbe } from './find-cached.ts';
import type { StageImage } from './stage-image.ts';

/** What the steps of one stage work with. */
export interface StageContext {
  readonly services: Services;
  readonly request: BuildRequest;
  readonly probe: CacheProbe;
  /** Of the build. */
  readonly id: string;
  readonly stage: number;
  readonly escapeToken: string;
  /** The build's context. */
  readonly context: TreeSpec;
  /** Of SOURCE_DATE_EPOCH, ms. */
  readonly timestamp: number | undefined;
  /** The image of a stage or of a reference, as `--from` names it. */
  readonly imageFrom: (reference: string) => Promise<Pick<StageImage, 'id' | 'layers'>>;
  readonly signal: AbortSignal;
  /** Resolves when a stage that is far ahead of its turn may go on. */
  readonly emit: (event: BuildEvent) => Promise<void> | undefined;
  /** A new folder for a step, below the build's own: on the images' file system, and for mounts. */
  readonly workFolder: () => string;
  readonly mountPoint: () => string;
  /** Holds layers until the build is over; gives their folders, topmost first. */
  readonly hold: (layers: readonly LayerRecord[]) => Promise<readonly string[]>;
}

/** Says what failed before what was wrong; the code and the details stay. */
export async function worded<T>(prefix: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined || code === 'cancelled') throw error;
    const { details } = error as WherryError;
    throw new WherryError(code, prefix + messageOf(error), { cause: error, ...(details && { details }) });
  }
}
