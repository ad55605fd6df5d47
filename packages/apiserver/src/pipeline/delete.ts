import {
  type ApiObject,
  conflictError,
  type FieldError,
  field,
  invalidError,
  type KindDeclaration,
  notFoundError,
  type V1Status,
} from '@wherry/api';
import { copyJson } from '../registry/json.ts';
import { encodeStored, StoredObject } from '../registry/stored-object.ts';
import { admissionRequest, admit, validateAdmission } from './admit.ts';
import { type Core, hooksOf } from './core.ts';
import { timestamp } from './metadata.ts';
import { mayLeave, modifiedText } from './modify.ts';
import { keyOf, type RequestOptions, type Target } from './request.ts';

/** `DeleteOptions` of the API, from a body or the query. */
export interface DeletionOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: string | undefined;
  /** The older form of `propagationPolicy`. */
  readonly orphanDependents?: boolean | undefined;
  readonly preconditions?:
    | { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined }
    | undefined;
}

export type Deletion =
  /** It is gone; `last` is its last state. */
  | { readonly gone: true; readonly last: StoredObject; readonly status: V1Status }
  /** It is marked and stays until its finalizers or its node let it go. */
  | { readonly gone: false; readonly object: StoredObject };

const orphan = 'orphan';
const foreground = 'foregroundDeletion';

/** Deletes one object. Errors: 403, 404, 409 (preconditions), 422 (options). */
export async function deleteObject(
  core: Core,
  target: Target,
  deletion: DeletionOptions,
  options: RequestOptions,
): Promise<Deletion> {
  checkOptions(deletion);
  const storage = core.catalog.storageOf(target.kind);
  const key = keyOf(target, target.name);
  for (;;) {
    const live = core.registry.cacheOf(storage).get(key);
    if (live === undefined) throw notFoundError(target.kind, target.name);
    checkPreconditions(target, live, deletion);
    const request = admissionRequest('DELETE', target, target.name, undefined, live.object, options);
    await admit(core, request);
    await validateAdmission(core, request);
    const result = await attempt(core, storage, target, key, live, deletion, options);
    if (result !== undefined) return result;
  }
}

/** Deletes what a list of the collection finds; gives the objects as they were. */
export async function deleteCollection(
  core: Core,
  target: Target,
  items: readonly StoredObject[],
  deletion: DeletionOptions,
  options: RequestOptions,
): Promise<StoredObject[]> {
  const deleteOne = async (item: StoredObject): Promise<StoredObject | undefined> => {
    const { name, namespace } = item.object.metadata!;
    try {
      const one = { ...target, namespace: namespace ?? '', name: name! };
      const result = await deleteObject(core, one, deletion, options);
      return result.gone ? result.last : result.object;
    } catch (error) {
      if ((error as { code?: unknown }).code === 'notFound') return undefined;
      throw error;
    }
  };
  const results = await Promise.all(items.map(deleteOne));
  return results.filter((item) => item !== undefined);
}

function checkOptions(deletion: DeletionOptions): void {
  const errors: FieldError[] = [];
  const { propagationPolicy, orphanDependents } = deletion;
  if (propagationPolicy !== undefined && orphanDependents !== undefined) {
    errors.push(
      field.invalid(
        'propagationPolicy',
        propagationPolicy,
        'orphanDependents and deletionPropagation cannot be both set',
      ),
    );
  }
  if (propagationPolicy !== undefined && !['Foreground', 'Background', 'Orphan'].includes(propagationPolicy)) {
    errors.push(
      field.notSupported('propagationPolicy', propagationPolicy, ['Background', 'Foreground', 'Orphan', 'nil']),
    );
  }
  if (errors.length > 0) throw invalidError({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', errors);
}

function checkPreconditions(target: Target, live: StoredObject, { preconditions }: DeletionOptions): void {
  if (preconditions === undefined) return;
  const { uid } = live.object.metadata!;
  if (preconditions.uid !== undefined && preconditions.uid !== uid) {
    throw conflictError(
      target.kind,
      target.name,
      `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`,
    );
  }
  if (preconditions.resourceVersion !== undefined && preconditions.resourceVersion !== String(live.revision)) {
    throw conflictError(
      target.kind,
      target.name,
      `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${live.revision}`,
    );
  }
}

async function attempt(
  core: Core,
  storage: KindDeclaration,
  target: Target,
  key: string,
  live: StoredObject,
  deletion: DeletionOptions,
  options: RequestOptions,
): Promise<Deletion | undefined> {
  const marked = marking(core, storage, live, deletion);
  if (
    mayLeave(core, storage, marked ?? { ...live.object, metadata: { ...live.object.metadata, deletionTimestamp: '-' } })
  ) {
    if (options.dryRun) return gone(target, live);
    const removed = await core.registry.remove(storage, key, live.revision);
    if (removed.ok) return gone(target, live);
  } else if (marked === undefined) {
    return { gone: false, object: live };
  } else {
    if (options.dryRun) return { gone: false, object: StoredObject.transient(marked) };
    const result = await core.registry.put(storage, key, marked, live.revision, encodeStored(marked));
    if (result.ok) return { gone: false, object: result.stored };
  }
  // Somebody wrote in between; a caller who named the version is told so.
  if (deletion.preconditions?.resourceVersion !== undefined) {
    throw conflictError(target.kind, target.name, modifiedText);
  }
  return undefined;
}

function gone(target: Target, live: StoredObject): Deletion {
  const { kind } = target;
  const status: V1Status = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name: target.name,
      ...(kind.group === '' ? {} : { group: kind.group }),
      kind: kind.resource,
      uid: live.object.metadata!.uid!,
    },
  };
  return { gone: true, last: live, status };
}

/**
 * The object marked as deleted, or `undefined` when it is marked already and nothing changes
 * (apiserver `rest.BeforeDelete` and the finalizers of `deletionFinalizersForGarbageCollection`).
 */
function marking(
  core: Core,
  storage: KindDeclaration,
  live: StoredObject,
  deletion: DeletionOptions,
): ApiObject | undefined {
  const old = live.object;
  const draft = copyJson(old);
  const metadata = draft.metadata!;
  const finalizers = finalizersAfter(storage, metadata.finalizers ?? [], deletion);
  let changed = !sameItems(finalizers, metadata.finalizers ?? []);
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  else delete metadata.finalizers;
  const grace = storage.gracePeriod?.(old, deletion.gracePeriodSeconds) ?? 0;
  const now = core.clock.now();
  if (metadata.deletionTimestamp === undefined) {
    metadata.deletionTimestamp = timestamp(now + grace * 1000);
    metadata.deletionGracePeriodSeconds = grace;
    if (metadata.generation) metadata.generation++;
    changed = true;
  } else if (grace < (metadata.deletionGracePeriodSeconds ?? 0)) {
    const before = Date.parse(metadata.deletionTimestamp) - (metadata.deletionGracePeriodSeconds ?? 0) * 1000;
    metadata.deletionTimestamp = timestamp(Math.max(before + grace * 1000, grace === 0 ? now : 0));
    metadata.deletionGracePeriodSeconds = grace;
    changed = true;
  }
  if (!changed) return undefined;
  hooksOf(core, storage)?.markDeleted?.(draft);
  return draft;
}

function finalizersAfter(storage: KindDeclaration, before: readonly string[], deletion: DeletionOptions): string[] {
  const policy =
    deletion.propagationPolicy ??
    (deletion.orphanDependents === undefined ? undefined : deletion.orphanDependents ? 'Orphan' : 'Background');
  let orphans = before.includes(orphan);
  let waits = before.includes(foreground);
  if (policy !== undefined) {
    orphans = policy === 'Orphan';
    waits = policy === 'Foreground';
  } else if (!orphans && !waits) orphans = storage.defaultPropagation === 'Orphan';
  const rest = before.filter((finalizer) => finalizer !== orphan && finalizer !== foreground);
  return [...rest, ...(orphans ? [orphan] : []), ...(waits ? [foreground] : [])];
}

function sameItems(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item) => b.includes(item));
}
