import { badRequestError, decodeObject, type KindDeclaration, parseBody, statusError } from '@wherry/api';
import { codeOf, type Logger, messageOf } from '@wherry/base';
import type { PatchType } from '@wherry/client';
import type { Authorizer, UserInfo } from '../auth/contract.ts';
import type { Core } from '../pipeline/core.ts';
import { createDraft } from '../pipeline/create.ts';
import { decodeBody } from '../pipeline/decode.ts';
import { type DeletionOptions, deleteCollection, deleteObject } from '../pipeline/delete.ts';
import { type PatchRequest, patchObject } from '../pipeline/patch.ts';
import { getObject, listObjects } from '../pipeline/read.ts';
import type { RequestOptions, Target } from '../pipeline/request.ts';
import { selectionOf } from '../pipeline/selection.ts';
import { updateObject } from '../pipeline/update.ts';
import { openWatch } from '../pipeline/watch.ts';
import { decodeProtobuf, protobufType } from '../protobuf/decode.ts';
import { isStored } from '../registry/catalog.ts';
import { StoredObject } from '../registry/stored-object.ts';
import { authorisePath, authoriseResource, selectedName } from '../request/authorise.ts';
import { isWatchPath, type RequestInfo, requestInfo } from '../request/info.ts';
import type { SubresourceAnswer, Subresources } from '../special/subresources.ts';
import { encodeList, encodeObject, sendForm } from './encode.ts';
import { type Request, type Response, readBody, send, sendError } from './exchange.ts';
import type { RequestMetrics } from './metrics.ts';
import { negotiate } from './negotiation.ts';
import { Query } from './query.ts';
import type { Users } from './users.ts';
import { WatchStream } from './watch-stream.ts';

type ResourceInfo = Extract<RequestInfo, { resourceRequest: true }>;

/** A request on a resource that passed authorisation. */
export interface Call {
  readonly request: Request;
  readonly response: Response;
  readonly query: Query;
  readonly info: ResourceInfo;
  readonly target: Target;
  readonly user: UserInfo;
}

/** Serves a subresource that is no JSON object: log, proxy. Gives the response's code. */
export type Connector = (call: Call) => Promise<number>;

/** Serves a path outside of the resources; `undefined` when there is no such path. */
export type PathHandler = (
  path: string,
  query: Query,
  request: Request,
  response: Response,
) => Promise<number> | undefined;

export interface HandlerParts {
  readonly core: Core;
  readonly users: Users;
  readonly authorizer: Authorizer;
  readonly subresources: Subresources;
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly paths: PathHandler;
  readonly metrics: RequestMetrics;
  readonly log: Logger;
  /** Watches end at the latest after this long (milliseconds), spread by up to as much again. */
  readonly watchTimeout: number;
}

const patchTypes: Readonly<Record<string, PatchType>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

/** Answers HTTP requests: who, whether, what; then the pipeline. */
export class Handler {
  readonly #parts: HandlerParts;
  readonly #core: Core;

  constructor(parts: HandlerParts) {
    this.#parts = parts;
    this.#core = parts.core;
  }

  /** Never rejects: whatever goes wrong becomes the response. */
  async handle(request: Request, response: Response): Promise<void> {
    const { metrics, log } = this.#parts;
    const started = performance.now();
    const url = request.url ?? '/';
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = new Query(mark < 0 ? '' : url.slice(mark + 1));
    const info = requestInfo(path);
    const warnings: string[] = [];
    let verb = (request.method ?? 'GET').toLowerCase();
    let code: number;
    metrics.begin();
    try {
      const known = this.#parts.users.of(request);
      const user = known instanceof Promise ? await known : known;
      if (info.resourceRequest) {
        verb = verbOf(request.method ?? 'GET', info, path, query);
        code = await this.#resource(request, response, query, info, verb, user, warnings);
      } else code = await this.#path(path, query, request, response, user);
    } catch (error) {
      if (codeOf(error) === undefined)
        log.error('a request failed', { path, error: messageOf(error), stack: (error as Error)?.stack });
      code = sendError(request, response, error, warnings);
    }
    const seconds = verb === 'watch' ? undefined : (performance.now() - started) / 1000;
    // What a client makes up must not become a label: each makes a series that is kept.
    if (info.resourceRequest && this.#core.catalog.find(info.group, info.version, info.resource) !== undefined) {
      const subresource = served(code) ? info.subresource : '';
      metrics.end(verb, info.group, info.version, info.resource, subresource, code, seconds);
    } else metrics.end(verb, '', '', '', '', code, seconds);
    log.debug('request', { verb, path, code });
  }

  async #path(path: string, query: Query, request: Request, response: Response, user: UserInfo): Promise<number> {
    authorisePath(this.#parts.authorizer, user, (request.method ?? 'GET').toLowerCase(), path);
    const served = this.#parts.paths(path, query, request, response);
    if (served === undefined) throw noSuchPath();
    return served;
  }

  async #resource(
    request: Request,
    response: Response,
    query: Query,
    info: ResourceInfo,
    verb: string,
    user: UserInfo,
    warnings: string[],
  ): Promise<number> {
    const asked = info.name === '' ? { ...info, name: selectedName(query.get('fieldSelector')) } : info;
    authoriseResource(this.#parts.authorizer, user, verb, asked);
    const kind = this.#core.catalog.find(info.group, info.version, info.resource);
    if (kind === undefined) throw noSuchPath();
    if (info.namespace !== '' && !kind.namespaced && info.resource !== 'namespaces') throw noSuchPath();
    const target: Target = {
      kind,
      namespace: info.resource === 'namespaces' ? '' : info.namespace,
      name: info.name,
      subresource: info.subresource,
    };
    if (kind.namespaced && target.namespace === '' && (info.name !== '' || verb === 'create')) throw noSuchPath();
    const call: Call = { request, response, query, info, target, user };
    if (info.subresource !== '' && info.subresource !== 'status') {
      const connector = this.#parts.connectors.get(`${kind.group}/${kind.resource}/${info.subresource}`);
      if (connector !== undefined) return connector(call);
    }
    switch (verb) {
      case 'get':
        return this.#get(call);
      case 'list':
        return this.#list(call);
      case 'watch':
        return this.#watch(call);
      case 'create':
      case 'update':
      case 'patch':
        return this.#write(call, verb, warnings);
      case 'delete':
        return this.#delete(call, warnings);
      case 'deletecollection':
        return this.#deleteCollection(call, warnings);
      default:
        throw methodNotAllowed();
    }
  }

  #get(call: Call): number | Promise<number> {
    const { request, response, target, query } = call;
    allow(target.kind, 'get');
    if (target.subresource !== '' && !(target.subresource === 'status' && target.kind.subresources?.status)) {
      return this.#parts.subresources
        .call('get', target, undefined, optionsOf(call, []))
        .then((answer) => this.#answer(call, answer, 200, []));
    }
    const form = negotiate(request.headers.accept);
    const stored = getObject(this.#core, target);
    const body = encodeObject(this.#core, target.kind, stored, form, query.includeObject());
    sendForm(request, response, 200, body, form);
    return 200;
  }

  async #list(call: Call): Promise<number> {
    const { request, response, target, query } = call;
    allow(target.kind, 'list');
    const form = negotiate(request.headers.accept);
    const listing = await listObjects(this.#core, target, {
      selection: selectionOf(target.kind, query.get('labelSelector'), query.get('fieldSelector')),
      limit: query.integer('limit') ?? 0,
      continue: query.get('continue'),
      resourceVersion: query.get('resourceVersion'),
      resourceVersionMatch: query.get('resourceVersionMatch'),
    });
    const body = encodeList(this.#core, target, listing, form, query.includeObject());
    sendForm(request, response, 200, body, form);
    return 200;
  }

  #watch(call: Call): Promise<number> {
    const { request, response, target, query } = call;
    allow(target.kind, 'watch');
    const form = negotiate(request.headers.accept?.replace(/;\s*stream=watch/g, ''));
    const fields = query.get('fieldSelector');
    const named = target.name === '' ? '' : `metadata.name=${target.name}`;
    const timeout = query.integer('timeoutSeconds');
    const stream = new WatchStream(response, target.kind, form, query.includeObject(), this.#core.clock);
    const watch = {
      selection: selectionOf(
        target.kind,
        query.get('labelSelector'),
        [named, fields].filter((part) => part !== '').join(','),
      ),
      resourceVersion: query.get('resourceVersion'),
      resourceVersionMatch: query.get('resourceVersionMatch'),
      bookmarks: query.flag('allowWatchBookmarks'),
      initialEvents: query.has('sendInitialEvents') ? query.flag('sendInitialEvents') : undefined,
    };
    const start = (): Disposable => {
      // A version that is too old is told in the stream, as upstream does.
      try {
        return openWatch(this.#core, target, watch, stream);
      } catch (error) {
        if (codeOf(error) !== 'gone') throw error;
        stream.fail(error);
        return { [Symbol.dispose]: () => undefined };
      }
    };
    response.setHeader('content-type', 'application/json');
    response.setHeader('cache-control', 'no-cache, private');
    const subscription = start();
    response.once('close', () => subscription[Symbol.dispose]());
    if (!response.headersSent) response.writeHead(200);
    if ('flushHeaders' in response) response.flushHeaders();
    const { watchTimeout } = this.#parts;
    const limit = timeout !== undefined && timeout > 0 ? timeout * 1000 : watchTimeout * (1 + Math.random());
    const timer = this.#core.clock.after(limit, () => stream.end());
    return new Promise((resolve) => {
      response.once('close', () => {
        timer[Symbol.dispose]();
        resolve(200);
      });
    });
  }

  async #write(call: Call, verb: 'create' | 'update' | 'patch', warnings: string[]): Promise<number> {
    const { request, target } = call;
    allow(target.kind, verb);
    negotiate(request.headers.accept);
    const options = optionsOf(call, warnings);
    if (verb === 'patch') return this.#patch(call, options, warnings);
    const parsed = parse(await readBody(request), request.headers['content-type']);
    const { value, duplicateFields } = parsed;
    const special =
      verb === 'create' && target.subresource === '' ? this.#parts.subresources.creator(target.kind) : undefined;
    if (special !== undefined) {
      const answer = await special(target, decodeBody(target.kind, value, options, duplicateFields), options);
      return this.#answer(call, answer, 201, warnings);
    }
    if (target.subresource !== '' && target.subresource !== 'status') {
      const answer = await this.#parts.subresources.call(verb, target, value, options);
      return this.#answer(call, answer, verb === 'create' ? 201 : 200, warnings);
    }
    if (verb === 'create') {
      if (target.name !== '') throw methodNotAllowed();
      const draft = decodeBody(target.kind, value, options, duplicateFields);
      return this.#show(call, await createDraft(this.#core, target, draft, options), 201, warnings);
    }
    if (duplicateFields.length > 0) decodeBody(target.kind, structuredClone(value), options, duplicateFields);
    return this.#show(call, await updateObject(this.#core, target, value, options), 200, warnings);
  }

  async #patch(call: Call, options: RequestOptions, warnings: string[]): Promise<number> {
    const { request, target, query } = call;
    const contentType = (request.headers['content-type'] ?? '').split(';')[0]!.trim();
    const type = patchTypes[contentType];
    if (type === undefined) {
      throw unsupportedType(Object.keys(patchTypes));
    }
    const { value } = parse(await readBody(request), type === 'apply' ? 'application/yaml' : 'application/json');
    const force = query.flag('force');
    if (type === 'apply' && query.get('fieldManager') === '') {
      throw statusError(
        'invalid',
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
        {
          reason: 'Invalid',
          code: 422,
        },
      );
    }
    const patch: PatchRequest = { type, patch: value, force };
    if (target.subresource !== '' && target.subresource !== 'status') {
      return this.#answer(call, await this.#parts.subresources.patch(target, patch, options), 200, warnings);
    }
    const { stored, created } = await patchObject(this.#core, target, patch, options);
    return this.#show(call, stored, created ? 201 : 200, warnings);
  }

  async #delete(call: Call, warnings: string[]): Promise<number> {
    const { request, response, target } = call;
    allow(target.kind, 'delete');
    if (target.subresource !== '') throw methodNotAllowed();
    const [deletion, dryRun] = await deletionOf(call);
    const options = { ...optionsOf(call, warnings), dryRun };
    const result = await deleteObject(this.#core, target, deletion, options);
    if (!result.gone) return this.#show(call, result.object, 200, warnings);
    send(request, response, 200, Buffer.from(`${JSON.stringify(result.status)}\n`), 'application/json', warnings);
    return 200;
  }

  async #deleteCollection(call: Call, warnings: string[]): Promise<number> {
    const { request, response, target, query } = call;
    allow(target.kind, 'deletecollection');
    const [deletion, dryRun] = await deletionOf(call);
    const listing = await listObjects(this.#core, target, {
      selection: selectionOf(target.kind, query.get('labelSelector'), query.get('fieldSelector')),
      limit: query.integer('limit') ?? 0,
      continue: query.get('continue'),
      resourceVersion: query.get('resourceVersion'),
      resourceVersionMatch: query.get('resourceVersionMatch'),
    });
    const options = { ...optionsOf(call, warnings), dryRun };
    const items = await deleteCollection(this.#core, target, listing.items, deletion, options);
    const shown = { ...listing, items, range: undefined };
    const form = negotiate(request.headers.accept);
    const body = encodeList(this.#core, target, shown, form, query.includeObject());
    sendForm(request, response, 200, body, form);
    return 200;
  }

  #show(call: Call, stored: StoredObject, code: number, warnings: readonly string[]): number {
    const { request, response, target, query } = call;
    const form = negotiate(request.headers.accept);
    const body = encodeObject(this.#core, target.kind, stored, form, query.includeObject());
    sendForm(request, response, code, body, form, warnings);
    return code;
  }

  #answer(call: Call, answer: SubresourceAnswer, usual: number, warnings: readonly string[]): number {
    const { request, response, target, query } = call;
    const code = answer.code ?? usual;
    const form = negotiate(request.headers.accept);
    const stored = StoredObject.transient(answer.object);
    const shaped = form.shape === 'Table' && !isStored(target.kind) ? { ...form, shape: 'object' as const } : form;
    const body = encodeObject(
      this.#core,
      { ...target.kind, view: undefined } as unknown as KindDeclaration,
      stored,
      shaped,
      query.includeObject(),
    );
    sendForm(request, response, code, body, form, warnings);
    return code;
  }
}

/** Whether a request got as far as something that is there. */
function served(code: number): boolean {
  return code < 400 || code === 409 || code === 422 || code === 429 || code >= 500;
}

function verbOf(method: string, info: ResourceInfo, path: string, query: Query): string {
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (info.subresource === '' && ((query.has('watch') && query.flag('watch')) || isWatchPath(path))) return 'watch';
      return info.name === '' ? 'list' : 'get';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return info.name === '' ? 'deletecollection' : 'delete';
    default:
      return method.toLowerCase();
  }
}

function allow(
  kind: KindDeclaration,
  verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection',
): void {
  if (kind.verbs !== undefined && !kind.verbs.includes(verb)) throw methodNotAllowed();
}

/** The manager that a request's changes are recorded under: given, or the client's name. */
function optionsOf({ request, query, user }: Call, warnings: string[]): RequestOptions {
  const options =
    request.method === 'PATCH' ? 'PatchOptions' : request.method === 'PUT' ? 'UpdateOptions' : 'CreateOptions';
  const agent = request.headers['user-agent'] ?? '';
  const given = query.get('fieldManager');
  return {
    user,
    dryRun: query.dryRun(options),
    fieldManager:
      given === ''
        ? agent.slice(0, agent.indexOf('/') < 0 ? 128 : agent.indexOf('/')).slice(0, 128) || 'unknown'
        : given.slice(0, 128),
    fieldValidation: query.fieldValidation(options),
    warn: (text) => {
      if (!warnings.includes(text)) warnings.push(text);
    },
  };
}

async function deletionOf({ request, query }: Call): Promise<[DeletionOptions, boolean]> {
  const body = await readBody(request);
  if (body.length === 0) return [query.deletion(), query.dryRun('DeleteOptions')];
  const { value } = parse(body, request.headers['content-type']);
  const decoded = decodeObject('V1DeleteOptions', value);
  if (!decoded.ok) throw badRequestError(`the request body is not a DeleteOptions: ${decoded.message}`);
  const { dryRun = [], ...given } = decoded.object as DeletionOptions & { dryRun?: string[] };
  return [{ ...query.deletion(), ...given }, query.dryRun('DeleteOptions') || dryRun.includes('All')];
}

function parse(body: Buffer, contentType: string | undefined): { value: unknown; duplicateFields: readonly string[] } {
  const type = (contentType ?? 'application/json').split(';')[0]!.trim().toLowerCase();
  if (body.length === 0) throw badRequestError('the request has no body');
  if (type === protobufType) return { value: decodeProtobuf(body), duplicateFields: [] };
  if (type !== '' && type !== 'application/json' && type !== 'application/yaml' && type !== '*/*') {
    throw unsupportedType(['application/json', 'application/yaml', protobufType]);
  }
  try {
    return parseBody(body, type === '*/*' ? undefined : type);
  } catch (error) {
    if (codeOf(error) === 'invalid') throw badRequestError(messageOf(error));
    throw error;
  }
}

function unsupportedType(accepted: readonly string[]): Error {
  return statusError(
    'unsupported',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
    { reason: 'UnsupportedMediaType', code: 415 },
  );
}

function methodNotAllowed(): Error {
  return statusError('unsupported', 'the server does not allow this method on the requested resource', { details: {} });
}

function noSuchPath(): Error {
  return statusError('notFound', 'the server could not find the requested resource', { details: {} });
}
