import type { Platform } from '@wherry/oci';
import type { PullOptions } from '@wherry/runtime';
import type { StoreParts } from '../store-parts.ts';
import type { Dialect } from './registry-failure.ts';

/** What the steps of one pull know. */
export interface PullContext extends PullOptions {
  readonly signal: AbortSignal;
  readonly platform: Platform;
  readonly parts: StoreParts;
  readonly dialect: Dialect;
}
