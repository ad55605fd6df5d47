import type { ApiObject } from '@wherry/api';
import { copyJson } from '../registry/json.ts';
import type { StoredObject } from '../registry/stored-object.ts';
import type { Core } from './core.ts';
import { decodeBody } from './decode.ts';
import { modifyObject, type Part } from './modify.ts';
import type { RequestOptions, Target } from './request.ts';
import { stored as storedForm } from './view.ts';

/** Replaces an object (or its status) with a decoded JSON body. */
export function updateObject(
  core: Core,
  target: Target,
  body: unknown,
  options: RequestOptions,
): Promise<StoredObject> {
  const storage = core.catalog.storageOf(target.kind);
  const part: Part = target.subresource === 'status' ? 'status' : 'main';
  let decoded: ApiObject | undefined;
  return modifyObject(
    core,
    target,
    {
      part,
      produce: () => {
        decoded ??= decodeBody(target.kind, body, options);
        return storedForm(target.kind, storage, copyJson(decoded));
      },
    },
    options,
  );
}
