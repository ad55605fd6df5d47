import { badRequestError, type KindDeclaration, notFoundError, statusError, type V1Status } from '@wherry/api';
import { AsyncQueue, throwIfAborted } from '@wherry/base';
import type {
  ApiClient,
  DeleteOptions,
  KubeObject,
  ListOptions,
  ObjectList,
  ObjectName,
  PatchType,
  ResourceId,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from '@wherry/client';
import type { Authorizer, UserInfo } from './auth/contract.ts';
import type { Core } from './pipeline/core.ts';
import { createObject } from './pipeline/create.ts';
import { deleteObject } from './pipeline/delete.ts';
import { patchObject } from './pipeline/patch.ts';
import { getObject, listObjects } from './pipeline/read.ts';
import type { RequestOptions, Target } from './pipeline/request.ts';
import { selectionOf } from './pipeline/selection.ts';
import { updateObject } from './pipeline/update.ts';
import { present } from './pipeline/view.ts';
import { openWatch } from './pipeline/watch.ts';
import { copyJson } from './registry/json.ts';
import type { StoredObject } from './registry/stored-object.ts';
import { authoriseResource, selectedName } from './request/authorise.ts';
import type { Subresources } from './special/subresources.ts';

/** Events that wait for a reader in the process; beyond that it has to list again. */
const mostWaiting = 100_000;

/** An `ApiClient` that calls the pipeline directly: authorised as its user, reads shared and frozen. */
export class InProcessClient implements ApiClient {
  readonly #core: Core;
  readonly #authorizer: Authorizer;
  readonly #subresources: Subresources;
  readonly #user: UserInfo;

  constructor(core: Core, authorizer: Authorizer, subresources: Subresources, user: UserInfo) {
    this.#core = core;
    this.#authorizer = authorizer;
    this.#subresources = subresources;
    this.#user = user;
  }

  async get<T extends KubeObject>(
    resource: ResourceId,
    at: ObjectName,
    options?: { signal?: AbortSignal },
  ): Promise<T> {
    throwIfAborted(options?.signal);
    const target = this.#target(resource, 'get', at.namespace, at.name);
    return this.#shown<T>(target.kind, getObject(this.#core, target));
  }

  async list<T extends KubeObject>(resource: ResourceId, options: ListOptions = {}): Promise<ObjectList<T>> {
    throwIfAborted(options.signal);
    const target = this.#target(resource, 'list', options.namespace, '', '', options.fieldSelector);
    const listing = await listObjects(this.#core, target, {
      selection: selectionOf(target.kind, options.labelSelector ?? '', options.fieldSelector ?? ''),
      limit: options.limit ?? 0,
      continue: options.continue ?? '',
      resourceVersion: options.resourceVersion ?? '',
      resourceVersionMatch: '',
    });
    return {
      resourceVersion: String(listing.revision),
      items: listing.items.map((item) => this.#shown<T>(target.kind, item)),
      ...(listing.continue === undefined ? {} : { continue: listing.continue }),
    };
  }

  async *watch<T extends KubeObject>(resource: ResourceId, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    const { signal } = options;
    throwIfAborted(signal);
    const target = this.#target(resource, 'watch', options.namespace, '', '', options.fieldSelector);
    const queue = new AsyncQueue<WatchEvent<T>>();
    const subscription = openWatch(
      this.#core,
      target,
      {
        selection: selectionOf(target.kind, options.labelSelector ?? '', options.fieldSelector ?? ''),
        resourceVersion: options.resourceVersion,
        resourceVersionMatch: '',
        bookmarks: true,
        initialEvents: undefined,
      },
      {
        emit: (type, object) => {
          if (queue.size >= mostWaiting)
            queue.end(statusError('gone', 'too old resource version: the watcher did not keep up'));
          else queue.push({ type, object: this.#shown<T>(target.kind, object) });
        },
        flush: () => undefined,
        bookmark: (revision) =>
          queue.push({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(revision) } } }),
        fail: (error) => queue.end(error),
      },
    );
    const stop = (): void => queue.end();
    signal.addEventListener('abort', stop, { once: true });
    try {
      yield* queue;
    } finally {
      signal.removeEventListener('abort', stop);
      subscription[Symbol.dispose]();
    }
  }

  async create<T extends KubeObject>(resource: ResourceId, object: T, options: WriteOptions = {}): Promise<T> {
    throwIfAborted(options.signal);
    const target = this.#target(resource, 'create', object.metadata?.namespace, '');
    const special = this.#subresources.creator(target.kind);
    if (special !== undefined)
      return (await special(target, copyJson(object), this.#options(options))).object as KubeObject as T;
    return this.#shown<T>(
      target.kind,
      await createObject(this.#core, target, copyJson(object), this.#options(options)),
    );
  }

  async update<T extends KubeObject>(
    resource: ResourceId,
    object: T,
    options: WriteOptions & { subresource?: 'status' | 'scale' } = {},
  ): Promise<T> {
    throwIfAborted(options.signal);
    const { namespace, name } = object.metadata ?? {};
    if (!name) throw badRequestError('an update needs metadata.name');
    const target = this.#target(resource, 'update', namespace, name, options.subresource);
    if (target.subresource !== '' && target.subresource !== 'status') {
      const result = await this.#subresources.call('update', target, copyJson(object), this.#options(options));
      return result.object as KubeObject as T;
    }
    return this.#shown<T>(
      target.kind,
      await updateObject(this.#core, target, copyJson(object), this.#options(options)),
    );
  }

  async patch<T extends KubeObject>(
    resource: ResourceId,
    at: ObjectName,
    type: PatchType,
    patch: unknown,
    options: WriteOptions & { subresource?: 'status' | 'scale'; force?: boolean } = {},
  ): Promise<T> {
    throwIfAborted(options.signal);
    const target = this.#target(resource, 'patch', at.namespace, at.name, options.subresource);
    const request = { type, patch, force: options.force ?? false };
    if (target.subresource !== '' && target.subresource !== 'status') {
      return (await this.#subresources.patch(target, request, this.#options(options))).object as KubeObject as T;
    }
    const { stored } = await patchObject(this.#core, target, request, this.#options(options));
    return this.#shown<T>(target.kind, stored);
  }

  async delete(resource: ResourceId, at: ObjectName, options: DeleteOptions = {}): Promise<V1Status | KubeObject> {
    throwIfAborted(options.signal);
    const target = this.#target(resource, 'delete', at.namespace, at.name);
    const result = await deleteObject(this.#core, target, options, this.#options({}));
    return result.gone ? result.status : this.#shown<KubeObject>(target.kind, result.object);
  }

  async createSubresource<T extends KubeObject>(
    resource: ResourceId,
    at: ObjectName,
    subresource: string,
    body: KubeObject,
  ): Promise<T> {
    const target = this.#target(resource, 'create', at.namespace, at.name, subresource);
    return (await this.#subresources.call('create', target, copyJson(body), this.#options({})))
      .object as KubeObject as T;
  }

  #target(resource: ResourceId, verb: string, namespace = '', name = '', subresource = '', fieldSelector = ''): Target {
    const { group, version } = resource;
    const kind = this.#core.catalog.find(group, version, resource.resource);
    if (kind === undefined) throw notFoundError({ group, resource: resource.resource }, name);
    const within = kind.namespaced ? namespace : '';
    if (kind.namespaced && within === '' && verb !== 'list' && verb !== 'watch') {
      throw badRequestError(`a namespace is needed to ${verb} ${kind.resource}`);
    }
    authoriseResource(this.#authorizer, this.#user, verb, {
      group,
      version,
      resource: kind.resource,
      subresource,
      namespace: within,
      name: name === '' ? selectedName(fieldSelector) : name,
    });
    return { kind, namespace: within, name, subresource };
  }

  #options(options: WriteOptions): RequestOptions {
    return {
      user: this.#user,
      dryRun: options.dryRun ?? false,
      fieldManager: options.fieldManager,
      fieldValidation: 'Ignore',
      warn: () => undefined,
    };
  }

  #shown<T>(kind: KindDeclaration, stored: StoredObject): T {
    return present(kind, stored).object as KubeObject as T;
  }
}
