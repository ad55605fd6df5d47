import {
  type ApiObject,
  alreadyExistsError,
  badRequestError,
  invalidError,
  type KindDeclaration,
  statusError,
  validateObjectMeta,
} from '@wherry/api';
import { encodeStored, StoredObject } from '../registry/stored-object.ts';
import { admissionRequest, admit, validateAdmission } from './admit.ts';
import { type Core, hooksOf } from './core.ts';
import { decodeBody } from './decode.ts';
import { checkObjectSize } from './limits.ts';
import { trackChange } from './managers.ts';
import { generatedName, settleNamespace, stampNew } from './metadata.ts';
import { keyOf, type RequestOptions, type Target } from './request.ts';
import { stored as storedForm } from './view.ts';

/** How often a generated name is tried before the collision is reported. */
const nameAttempts = 8;

/** Creates an object from a decoded JSON body. Errors: 400, 403, 404 (namespace), 409, 413, 422. */
export async function createObject(
  core: Core,
  target: Target,
  body: unknown,
  options: RequestOptions,
): Promise<StoredObject> {
  return createDraft(core, target, decodeBody(target.kind, body, options), options);
}

/**
 * The same for an object that is already decoded and belongs to the caller no longer. `managed`: it
 * carries its `managedFields` (server-side apply).
 */
export async function createDraft(
  core: Core,
  target: Target,
  own: ApiObject,
  options: RequestOptions,
  managed = false,
): Promise<StoredObject> {
  const storage = core.catalog.storageOf(target.kind);
  const managers = managed ? own.metadata?.managedFields : undefined;
  if (settleNamespace(own, target).resourceVersion) {
    throw badRequestError('resourceVersion should not be set on objects to be created');
  }
  const draft = storedForm(target.kind, storage, own);
  const metadata = draft.metadata!;
  storage.defaults?.(draft);
  const request = admissionRequest('CREATE', target, metadata.name ?? '', draft, undefined, options);
  await admit(core, request);
  const now = core.clock.now();
  stampNew(metadata, core.random, now);
  storage.prepareForCreate?.(draft, { now, user: options.user.username });
  if (storage.specFields !== undefined) metadata.generation = 1;
  const generate = !metadata.name && metadata.generateName ? metadata.generateName : undefined;
  if (generate !== undefined) metadata.name = generatedName(generate, core.random);
  validateNew(storage, draft, options);
  await validateAdmission(core, request);
  if (managers !== undefined) metadata.managedFields = managers;
  else trackChange(target, storage, undefined, draft, options, now);
  const claim = hooksOf(core, storage)?.claim?.(draft, undefined);
  try {
    if (claim !== undefined && claim.errors.length > 0) throw invalidError(storage, metadata.name!, claim.errors);
    return await insert(core, storage, target, draft, generate, options);
  } finally {
    claim?.release();
  }
}

function validateNew(storage: KindDeclaration, draft: ApiObject, options: RequestOptions): void {
  const { namespaced, validateName } = storage;
  const errors = [
    ...validateObjectMeta(draft.metadata!, { namespaced, validateName }),
    ...(storage.validate?.(draft) ?? []),
  ];
  if (errors.length > 0) throw invalidError(storage, draft.metadata!.name ?? '', errors);
  for (const warning of storage.warnings?.(draft, undefined) ?? []) options.warn(warning);
}

async function insert(
  core: Core,
  storage: KindDeclaration,
  target: Target,
  draft: ApiObject,
  generate: string | undefined,
  options: RequestOptions,
): Promise<StoredObject> {
  const metadata = draft.metadata!;
  for (let attempt = 1; ; attempt++) {
    const name = metadata.name!;
    const key = keyOf(target, name);
    const existing = core.registry.cacheOf(storage).get(key);
    if (existing === undefined) {
      const raw = encodeStored(draft);
      checkObjectSize(raw, storage.kind, name);
      if (options.dryRun) return StoredObject.transient(draft);
      const result = await core.registry.put(storage, key, draft, 0, raw);
      if (result.ok) return result.stored;
    }
    if (generate === undefined) throw existsError(core, storage, key, name);
    if (attempt === nameAttempts) {
      throw statusError(
        'alreadyExists',
        `${storage.resource} ${JSON.stringify(name)} already exists, the server was not able to generate a unique name for the object`,
        { details: { name, kind: storage.resource, retryAfterSeconds: 1 } },
      );
    }
    metadata.name = generatedName(generate, core.random);
  }
}

function existsError(core: Core, storage: KindDeclaration, key: string, name: string): Error {
  const error = alreadyExistsError(storage, name);
  const existing = core.registry.cacheOf(storage).get(key);
  if (!existing?.object.metadata?.deletionTimestamp) return error;
  return statusError('alreadyExists', `object is being deleted: ${error.message}`, {
    details: { name, kind: storage.resource, ...(storage.group === '' ? {} : { group: storage.group }) },
  });
}
