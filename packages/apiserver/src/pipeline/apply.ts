import {
  type ApiObject,
  applyConfiguration,
  applyConflictError,
  badRequestError,
  conflictError,
  notFoundError,
} from '@wherry/api';
import { codeOf } from '@wherry/base';
import { groupVersionOf } from '../registry/catalog.ts';
import { copyJson } from '../registry/json.ts';
import type { StoredObject } from '../registry/stored-object.ts';
import type { Core } from './core.ts';
import { createDraft } from './create.ts';
import { decodeBody } from './decode.ts';
import { managerOf } from './managers.ts';
import { timestamp } from './metadata.ts';
import { modifyObject } from './modify.ts';
import { keyOf, type RequestOptions, type Target } from './request.ts';
import { present, stored as storedForm } from './view.ts';

/** How often an object may come or go between looking and writing. */
const attempts = 8;

/** Server-side apply (KEP-555): creates the object or merges the configuration into it. Errors: also 409 conflicts. */
export async function applyObject(
  core: Core,
  target: Target,
  configuration: unknown,
  force: boolean,
  options: RequestOptions,
): Promise<{ readonly stored: StoredObject; readonly created: boolean }> {
  const config = checked(target, configuration);
  const storage = core.catalog.storageOf(target.kind);
  const cache = core.registry.cacheOf(storage);
  const merge = (live: ApiObject | undefined): ApiObject => merged(core, target, live, config, force, options);
  for (let attempt = 1; ; attempt++) {
    const existed = cache.get(keyOf(target, target.name)) !== undefined;
    try {
      if (!existed) {
        if (target.subresource !== '') throw notFoundError(target.kind, target.name);
        if (config.metadata?.uid) {
          throw conflictError(
            target.kind,
            target.name,
            `uid mismatch: the provided object specified uid ${config.metadata.uid}, and no existing object was found`,
          );
        }
        const stored = await createDraft(core, { ...target, name: '' }, merge(undefined), options, true);
        return { stored, created: true };
      }
      const part = target.subresource === 'status' ? 'status' : 'main';
      const produce = (live: StoredObject): ApiObject =>
        storedForm(target.kind, storage, merge(present(target.kind, live).object));
      return { stored: await modifyObject(core, target, { part, produce, managed: true }, options), created: false };
    } catch (error) {
      const raced = codeOf(error) === (existed ? 'notFound' : 'alreadyExists');
      if (!raced || options.dryRun || attempt === attempts) throw error;
    }
  }
}

function checked(target: Target, configuration: unknown): ApiObject {
  const { kind } = target;
  if (typeof configuration !== 'object' || configuration === null || Array.isArray(configuration)) {
    throw badRequestError('the apply configuration is not an object');
  }
  const config = configuration as ApiObject;
  const expected = groupVersionOf(kind);
  if (config.apiVersion !== expected || config.kind !== kind.kind) {
    throw badRequestError(
      `the apply configuration is ${String(config.apiVersion)} ${String(config.kind)}, the path is of ${expected} ${kind.kind}`,
    );
  }
  if (config.metadata?.managedFields !== undefined && config.metadata.managedFields !== null) {
    throw badRequestError('metadata.managedFields must be nil');
  }
  config.metadata ??= {};
  config.metadata.name ??= target.name;
  if (kind.namespaced) config.metadata.namespace ??= target.namespace;
  if (config.metadata.name !== target.name) {
    throw badRequestError(
      `the name of the object (${config.metadata.name}) does not match the name on the URL (${target.name})`,
    );
  }
  return config;
}

function merged(
  core: Core,
  target: Target,
  live: ApiObject | undefined,
  config: ApiObject,
  force: boolean,
  options: RequestOptions,
): ApiObject {
  const manager = managerOf(target, options.fieldManager ?? 'unknown', 'Apply');
  const time = timestamp(core.clock.now());
  const result = applyConfiguration(live, config, target.kind.schema, manager, { force, time });
  if (!result.ok) throw applyConflictError(result.conflicts);
  const own = copyJson(result.object);
  if (own.metadata?.resourceVersion === live?.metadata?.resourceVersion) delete own.metadata?.resourceVersion;
  return decodeBody(target.kind, own, options);
}
