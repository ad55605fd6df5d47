import { type ApiObject, type FieldManager, type KindDeclaration, updateManagedFields } from '@wherry/api';
import { groupVersionOf } from '../registry/catalog.ts';
import { copyJson } from '../registry/json.ts';
import { timestamp } from './metadata.ts';
import type { RequestOptions, Target } from './request.ts';

/** The manager that a request's changes are recorded under. */
export function managerOf(target: Target, name: string, operation: FieldManager['operation']): FieldManager {
  return { name, operation, apiVersion: groupVersionOf(target.kind), subresource: target.subresource };
}

/**
 * Records in `managedFields` who set what in a draft. Without a manager (components in the process,
 * whose objects nobody applies to) the history stays as it is.
 */
export function trackChange(
  target: Target,
  storage: KindDeclaration,
  old: ApiObject | undefined,
  draft: ApiObject,
  options: RequestOptions,
  now: number,
): void {
  const metadata = draft.metadata!;
  if (options.fieldManager === undefined) {
    const before = copyJson(old?.metadata?.managedFields);
    if (before === undefined) delete metadata.managedFields;
    else metadata.managedFields = before;
    return;
  }
  const manager = managerOf(target, options.fieldManager, 'Update');
  const tracked = updateManagedFields(old, draft, storage.schema, manager, timestamp(now));
  const entries = copyJson(tracked.metadata?.managedFields);
  if (entries === undefined) delete metadata.managedFields;
  else metadata.managedFields = entries;
}
