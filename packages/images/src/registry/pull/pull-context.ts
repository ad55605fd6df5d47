import type { Platform } from '@wherry/oci';
import type { PullImageOptions } from '../../image-library.ts';
import type { StoreParts } from '../../store-parts.ts';
import type { Dialect } from '../transport/registry-failure.ts';

/** What the steps of one pull know. */
export interface PullContext extends PullImageOptions {
  readonly signal: AbortSignal;
  readonly platform: Platform;
  readonly parts: StoreParts;
  readonly dialect: Dialect;
}
