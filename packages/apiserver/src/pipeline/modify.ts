import {
  type ApiObject,
  conflictError,
  type FieldError,
  invalidError,
  type KindDeclaration,
  notFoundError,
  validateObjectMeta,
  validateObjectMetaUpdate,
} from '@wherry/api';
import { copyJson, equalJson } from '../registry/json.ts';
import { encodeStored, StoredObject } from '../registry/stored-object.ts';
import { admissionRequest, admit, validateAdmission } from './admit.ts';
import { type Core, hooksOf } from './core.ts';
import { checkObjectSize } from './limits.ts';
import { trackChange } from './managers.ts';
import { keepServerFields, sameContent, sameManagers } from './metadata.ts';
import { keyOf, type RequestOptions, type Target } from './request.ts';

/** Bound of the retries after a concurrent write; each loser means that somebody else won. */
const attempts = 100;

/** Which part of the object a change may touch, and which rules apply to it. */
export type Part = 'main' | 'status' | 'unchecked';

export interface Change {
  readonly part: Part;
  /**
   * Makes the new version (in stored form, the caller's own) from the current one. Called again
   * after a concurrent write. A `resourceVersion` in it must be the current one.
   */
  produce(live: StoredObject): ApiObject | Promise<ApiObject>;
  /** The draft carries its `managedFields` already (server-side apply). */
  readonly managed?: boolean;
  /** What is written is no new wish of a user's (a pod's binding): `generation` stays. */
  readonly keepsGeneration?: boolean;
}

export const modifiedText =
  'the object has been modified; please apply your changes to the latest version and try again';

/** Changes one object. Errors: 400, 403, 404, 409, 413, 422. */
export async function modifyObject(
  core: Core,
  target: Target,
  change: Change,
  options: RequestOptions,
): Promise<StoredObject> {
  const storage = core.catalog.storageOf(target.kind);
  const cache = core.registry.cacheOf(storage);
  const key = keyOf(target, target.name);
  for (let attempt = 1; ; attempt++) {
    const live = cache.get(key);
    if (live === undefined) throw notFoundError(target.kind, target.name);
    const draft = await change.produce(live);
    const named = checkIdentity(storage, target, draft, live);
    const result = await attemptChange(core, storage, target, change, draft, live, options);
    if (result !== undefined) return result;
    if (named || attempt === attempts) throw conflictError(target.kind, target.name, modifiedText);
  }
}

/** Checks version and uid that the draft names; gives whether it named a version. */
function checkIdentity(storage: KindDeclaration, target: Target, draft: ApiObject, live: StoredObject): boolean {
  const metadata = draft.metadata ?? {};
  const before = live.object.metadata!;
  if (metadata.uid && metadata.uid !== before.uid) {
    throw conflictError(
      storage,
      target.name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${before.uid}`,
    );
  }
  if (!metadata.resourceVersion) return false;
  if (metadata.resourceVersion !== String(live.revision)) throw conflictError(target.kind, target.name, modifiedText);
  return true;
}

/** One try; `undefined` when somebody else wrote meanwhile. */
async function attemptChange(
  core: Core,
  storage: KindDeclaration,
  target: Target,
  { part, managed, keepsGeneration }: Change,
  proposed: ApiObject,
  live: StoredObject,
  options: RequestOptions,
): Promise<StoredObject | undefined> {
  const old = live.object;
  keepServerFields(proposed, old, target);
  const draft =
    part === 'main'
      ? withStatusOf(storage, proposed, old)
      : part === 'status'
        ? statusOnly(storage, proposed, old)
        : proposed;
  storage.defaults?.(draft);
  const request = admissionRequest('UPDATE', target, target.name, draft, old, options);
  await admit(core, request);
  const now = core.clock.now();
  const context = { now, user: options.user.username };
  if (part === 'main') storage.prepareForUpdate?.(draft, old, context);
  else if (part === 'status') storage.prepareForStatusUpdate?.(draft, old, context);
  if (part !== 'status' && keepsGeneration !== true) raiseGeneration(storage, draft, old);
  validateChange(storage, part, draft, old, options);
  await validateAdmission(core, request);
  if (managed !== true) trackChange(target, storage, old, draft, options, now);
  if (sameContent(draft, old) && sameManagers(draft.metadata!, old.metadata!)) return live;
  const claim = hooksOf(core, storage)?.claim?.(draft, old);
  try {
    if (claim !== undefined && claim.errors.length > 0) throw invalidError(storage, target.name, claim.errors);
    return await write(core, storage, target, draft, live, options);
  } finally {
    claim?.release();
  }
}

async function write(
  core: Core,
  storage: KindDeclaration,
  target: Target,
  draft: ApiObject,
  live: StoredObject,
  options: RequestOptions,
): Promise<StoredObject | undefined> {
  const raw = encodeStored(draft);
  checkObjectSize(raw, storage.kind, target.name);
  const key = keyOf(target, target.name);
  const leaves = mayLeave(core, storage, draft);
  if (options.dryRun) return StoredObject.transient(draft);
  if (leaves) {
    const removed = await core.registry.remove(storage, key, live.revision);
    return removed.ok ? StoredObject.transient(draft) : undefined;
  }
  const result = await core.registry.put(storage, key, draft, live.revision, raw);
  return result.ok ? result.stored : undefined;
}

/** Whether a deleted object has nothing left that holds it: the write is then its removal. */
export function mayLeave(core: Core, storage: KindDeclaration, object: ApiObject): boolean {
  const metadata = object.metadata!;
  return (
    metadata.deletionTimestamp !== undefined &&
    (metadata.finalizers?.length ?? 0) === 0 &&
    (metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    hooksOf(core, storage)?.holdsBack?.(object) !== true
  );
}

function withStatusOf(storage: KindDeclaration, draft: ApiObject, old: ApiObject): ApiObject {
  if (!storage.subresources?.status) return draft;
  if (old.status === undefined) delete draft.status;
  else draft.status = copyJson(old.status);
  return draft;
}

/** The old object with the new status; labels only where upstream's strategies take them (core group). */
function statusOnly(storage: KindDeclaration, proposed: ApiObject, old: ApiObject): ApiObject {
  const draft = copyJson(old);
  if (proposed.status === undefined) delete draft.status;
  else draft.status = proposed.status;
  const metadata = proposed.metadata!;
  if (storage.group !== '') {
    const labels = copyJson(old.metadata!.labels);
    if (labels === undefined) delete metadata.labels;
    else metadata.labels = labels;
  }
  const owners = copyJson(old.metadata!.ownerReferences);
  if (owners === undefined) delete metadata.ownerReferences;
  else metadata.ownerReferences = owners;
  draft.metadata = metadata;
  return draft;
}

/** The value of a field by its path from the top, `metadata.annotations`. */
function valueAt(object: ApiObject, path: string): unknown {
  return path.split('.').reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], object);
}

function raiseGeneration(storage: KindDeclaration, draft: ApiObject, old: ApiObject): void {
  if (storage.specFields === undefined) return;
  const before = old.metadata!.generation ?? 0;
  const changed = storage.specFields.some((path) => !equalJson(valueAt(draft, path), valueAt(old, path)));
  draft.metadata!.generation = changed ? before + 1 : before;
}

function validateChange(
  storage: KindDeclaration,
  part: Part,
  draft: ApiObject,
  old: ApiObject,
  options: RequestOptions,
): void {
  const { namespaced, validateName } = storage;
  const metadata = draft.metadata!;
  const errors: FieldError[] = [
    ...validateObjectMeta(metadata, { namespaced, validateName }),
    ...validateObjectMetaUpdate(metadata, old.metadata!),
  ];
  if (part === 'status') errors.push(...(storage.validateStatusUpdate?.(draft, old) ?? []));
  else errors.push(...(storage.validate?.(draft) ?? []));
  if (part === 'main') errors.push(...(storage.validateUpdate?.(draft, old) ?? []));
  if (errors.length > 0) throw invalidError(storage, metadata.name ?? '', errors);
  if (part === 'main') for (const warning of storage.warnings?.(draft, old) ?? []) options.warn(warning);
}
