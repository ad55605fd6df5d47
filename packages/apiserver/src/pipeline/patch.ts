import {
  type ApiObject,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  badRequestError,
  type KindDeclaration,
  statusError,
} from '@wherry/api';
import type { PatchType } from '@wherry/client';
import { copyJson } from '../registry/json.ts';
import type { StoredObject } from '../registry/stored-object.ts';
import { applyObject } from './apply.ts';
import type { Core } from './core.ts';
import { decodeBody } from './decode.ts';
import { modifyObject, type Part } from './modify.ts';
import type { RequestOptions, Target } from './request.ts';
import { present, stored as storedForm } from './view.ts';

export interface PatchRequest {
  readonly type: PatchType;
  readonly patch: unknown;
  /** Server-side apply: take over fields of other managers. */
  readonly force: boolean;
}

/** Patches an object or its status. Server-side apply creates what is not there. */
export async function patchObject(
  core: Core,
  target: Target,
  request: PatchRequest,
  options: RequestOptions,
): Promise<{ readonly stored: StoredObject; readonly created: boolean }> {
  if (request.type === 'apply') return applyObject(core, target, copyJson(request.patch), request.force, options);
  const storage = core.catalog.storageOf(target.kind);
  const part: Part = target.subresource === 'status' ? 'status' : 'main';
  const result = await modifyObject(
    core,
    target,
    {
      part,
      produce: (live) => {
        const patched = applyPatch(target.kind, present(target.kind, live).object, request);
        return storedForm(target.kind, storage, decodeBody(target.kind, patched, options));
      },
    },
    options,
  );
  return { stored: result, created: false };
}

/** The patched form of an object, the caller's own; the object itself is not changed. */
export function applyPatch(kind: Pick<KindDeclaration, 'schema'>, live: ApiObject, request: PatchRequest): ApiObject {
  const patched = patchedForm(kind, live, request);
  if (typeof patched !== 'object' || patched === null) throw badRequestError('the patch does not leave an object');
  const own = copyJson(patched) as ApiObject;
  // A version that the patch did not name is no condition: after a concurrent write it starts over.
  const { metadata } = own;
  if (metadata !== undefined && metadata.resourceVersion === live.metadata?.resourceVersion) {
    delete metadata.resourceVersion;
  }
  return own;
}

function patchedForm(kind: Pick<KindDeclaration, 'schema'>, live: ApiObject, { type, patch }: PatchRequest): unknown {
  switch (type) {
    case 'json':
      return applyJsonPatch(live, patch);
    case 'merge':
      return applyMergePatch(live, patch);
    case 'strategic':
      return applyStrategicMergePatch(live, patch, kind.schema);
    case 'apply':
      throw statusError('unsupported', 'server-side apply is not served on this subresource');
  }
}
