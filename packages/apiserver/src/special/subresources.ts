import { type ApiObject, badRequestError, type KindDeclaration, statusError } from '@wherry/api';
import type { Core } from '../pipeline/core.ts';
import { decodeBody } from '../pipeline/decode.ts';
import { modifyObject } from '../pipeline/modify.ts';
import { applyPatch, type PatchRequest } from '../pipeline/patch.ts';
import { getObject } from '../pipeline/read.ts';
import type { RequestOptions, Target } from '../pipeline/request.ts';
import { copyJson } from '../registry/json.ts';
import type { StoredObject } from '../registry/stored-object.ts';
import { type Projection, projectionOf } from './projections.ts';

export interface SubresourceAnswer {
  readonly object: ApiObject;
  /** HTTP status; default 200, or 201 for a create. */
  readonly code?: number;
}

/** Creates something that is not stored under its own name: a binding, an eviction, a token, a review. */
export type Creator = (target: Target, body: unknown, options: RequestOptions) => Promise<SubresourceAnswer>;

/** The parts of objects that have paths of their own, other than `status`. */
export class Subresources {
  readonly #core: Core;
  /** `group/resource/subresource`, or `group/resource` for kinds that are only created. */
  readonly #creators: ReadonlyMap<string, Creator>;

  constructor(core: Core, creators: ReadonlyMap<string, Creator>) {
    this.#core = core;
    this.#creators = creators;
  }

  /** How objects of a kind that is not stored are created; `undefined` for ordinary kinds. */
  creator(kind: KindDeclaration): Creator | undefined {
    return this.#creators.get(`${kind.group}/${kind.resource}`);
  }

  async call(
    verb: 'get' | 'create' | 'update',
    target: Target,
    body: unknown,
    options: RequestOptions,
  ): Promise<SubresourceAnswer> {
    const { kind, subresource } = target;
    if (verb === 'create') {
      const creator = this.#creators.get(`${kind.group}/${kind.resource}/${subresource}`);
      if (creator === undefined) throw methodNotAllowed(this.#has(target));
      return creator(target, body, options);
    }
    const projection = this.#projection(target);
    if (verb === 'get') return { object: projection.read(getObject(this.#core, target)) };
    return this.#edit(target, projection, () => decodeBody(projection.kind, copyJson(body), options), options);
  }

  patch(target: Target, request: PatchRequest, options: RequestOptions): Promise<SubresourceAnswer> {
    const projection = this.#projection(target);
    return this.#edit(
      target,
      projection,
      (live) => decodeBody(projection.kind, applyPatch(projection.kind, projection.read(live), request), options),
      options,
    );
  }

  async #edit(
    target: Target,
    projection: Projection,
    edited: (live: StoredObject) => ApiObject,
    options: RequestOptions,
  ): Promise<SubresourceAnswer> {
    const result = await modifyObject(
      this.#core,
      target,
      {
        part: projection.part,
        produce: (live) => {
          const change = edited(live);
          const draft = copyJson(live.object);
          const metadata = change.metadata ?? {};
          if (metadata.name && metadata.name !== target.name) {
            throw badRequestError(
              `the name of the object (${metadata.name}) does not match the name on the URL (${target.name})`,
            );
          }
          delete draft.metadata!.resourceVersion;
          if (metadata.resourceVersion) draft.metadata!.resourceVersion = metadata.resourceVersion;
          if (metadata.uid) draft.metadata!.uid = metadata.uid;
          projection.write(draft, change);
          return draft;
        },
      },
      options,
    );
    return { object: projection.read(result) };
  }

  #projection(target: Target): Projection {
    const projection = projectionOf(target.kind, target.subresource);
    if (projection === undefined) throw methodNotAllowed(this.#has(target));
    return projection;
  }

  #has({ kind, subresource }: Target): boolean {
    return (
      projectionOf(kind, subresource) !== undefined ||
      this.#creators.has(`${kind.group}/${kind.resource}/${subresource}`)
    );
  }
}

function methodNotAllowed(known: boolean): Error {
  if (!known) return statusError('notFound', 'the server could not find the requested resource', { details: {} });
  return statusError('unsupported', 'the server does not allow this method on the requested resource', { details: {} });
}
