import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { V1Status } from '@wherry/api';
import { cancelled, type ErrorCode, throwIfAborted, WherryError } from '@wherry/base';
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
} from './client.ts';
import type { ClientConfig } from './kubeconfig.ts';
import { freezeDeep, keyOf, splitKey } from './objects.ts';

/** An `ApiClient` over the network; dispose it to close its connections. */
export interface HttpApiClient extends ApiClient, Disposable {}

/** Bounds on what a server may send: a whole answer, and one event of a watch. */
const largestAnswer = 256 * 1024 * 1024;
const largestEvent = 16 * 1024 * 1024;
const requestTimeout = 60_000;

const patchTypes: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

const codes: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'notFound',
  405: 'unsupported',
  406: 'unsupported',
  409: 'conflict',
  410: 'gone',
  413: 'tooLarge',
  415: 'unsupported',
  422: 'invalid',
  429: 'unavailable',
  500: 'internal',
  502: 'unavailable',
  503: 'unavailable',
  504: 'timeout',
  507: 'exhausted',
};

/** The error that a Status or bare answer of a server stands for. */
export function errorOfStatus(http: number, status: V1Status | undefined, text: string): WherryError {
  const exists = status?.reason === 'AlreadyExists';
  const code = exists ? 'alreadyExists' : (codes[http] ?? (http >= 500 ? 'internal' : 'invalid'));
  const message = status?.message ?? (text.slice(0, 500) || `the server answered ${http}`);
  return new WherryError(code, message, status ? { details: { status } } : {});
}

/** A client for a server; HTTP/1.1 with kept connections, one of its own for each watch. Objects come frozen. */
export function createHttpApiClient(config: ClientConfig): HttpApiClient {
  return new HttpClient(config);
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

class HttpClient implements HttpApiClient {
  readonly #config: ClientConfig;
  readonly #base: URL;
  readonly #agent: HttpAgent | HttpsAgent;

  constructor(config: ClientConfig) {
    this.#config = config;
    this.#base = new URL(config.server);
    if (this.#base.protocol !== 'https:' && this.#base.protocol !== 'http:')
      throw new WherryError('invalid', `the server's address must begin with https:// or http://: ${config.server}`);
    const secure = this.#base.protocol === 'https:';
    const { ca, cert, key, serverName, insecure } = config;
    this.#agent = secure
      ? new HttpsAgent({
          keepAlive: true,
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert }),
          ...(key === undefined ? {} : { key }),
          ...(serverName === undefined ? {} : { servername: serverName }),
          rejectUnauthorized: !insecure,
        })
      : new HttpAgent({ keepAlive: true });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  get<T extends KubeObject>(resource: ResourceId, at: ObjectName, options: { signal?: AbortSignal } = {}): Promise<T> {
    return this.#call<T>('GET', pathOf(resource, at), { signal: options.signal });
  }

  async list<T extends KubeObject>(resource: ResourceId, options: ListOptions = {}): Promise<ObjectList<T>> {
    const { namespace, signal, ...query } = options;
    const answer = await this.#call<{ metadata?: { resourceVersion?: string; continue?: string }; items?: T[] }>(
      'GET',
      pathOf(resource, { namespace }),
      { query, signal },
    );
    return {
      resourceVersion: answer.metadata?.resourceVersion ?? '',
      items: answer.items ?? [],
      ...(answer.metadata?.continue ? { continue: answer.metadata.continue } : {}),
    };
  }

  async *watch<T extends KubeObject>(resource: ResourceId, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    const { namespace, signal, ...query } = options;
    if (signal.aborted) return;
    let response: IncomingMessage;
    try {
      response = await this.#send('GET', pathOf(resource, { namespace }), {
        query: { ...query, watch: true, allowWatchBookmarks: true },
        signal,
      });
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    if (response.statusCode !== 200) throw await failureOf(response);
    try {
      for await (const line of linesOf(response)) yield eventOf<T>(line);
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof WherryError ? error : unreachable(error);
    } finally {
      response.destroy();
    }
  }

  create<T extends KubeObject>(resource: ResourceId, object: T, options: WriteOptions = {}): Promise<T> {
    const { namespace } = object.metadata ?? {};
    return this.#call<T>('POST', pathOf(resource, { namespace }), {
      query: writeQuery(options),
      body: typed(resource, object),
      signal: options.signal,
    });
  }

  update<T extends KubeObject>(
    resource: ResourceId,
    object: T,
    options: WriteOptions & { subresource?: 'status' | 'scale' | 'finalize' } = {},
  ): Promise<T> {
    const at = splitKey(keyOf(object));
    return this.#call<T>('PUT', pathOf(resource, at, options.subresource), {
      query: writeQuery(options),
      body: typed(resource, object),
      signal: options.signal,
    });
  }

  patch<T extends KubeObject>(
    resource: ResourceId,
    at: ObjectName,
    type: PatchType,
    patch: unknown,
    options: WriteOptions & { subresource?: 'status' | 'scale'; force?: boolean } = {},
  ): Promise<T> {
    return this.#call<T>('PATCH', pathOf(resource, at, options.subresource), {
      query: { ...writeQuery(options), ...(options.force === undefined ? {} : { force: options.force }) },
      body: patch,
      type: patchTypes[type],
      signal: options.signal,
    });
  }

  delete(resource: ResourceId, at: ObjectName, options: DeleteOptions = {}): Promise<V1Status | KubeObject> {
    const { signal, ...body } = options;
    return this.#call('DELETE', pathOf(resource, at), {
      body: { apiVersion: 'v1', kind: 'DeleteOptions', ...body },
      signal,
    });
  }

  createSubresource<T extends KubeObject>(
    resource: ResourceId,
    at: ObjectName,
    subresource: string,
    body: KubeObject,
  ): Promise<T> {
    return this.#call<T>('POST', pathOf(resource, at, subresource), { body });
  }

  async #call<T>(
    method: string,
    path: string,
    options: { query?: Query; body?: unknown; type?: string; signal?: AbortSignal | undefined },
  ): Promise<T> {
    const response = await this.#send(method, path, { ...options, timeout: requestTimeout });
    if ((response.statusCode ?? 500) >= 300) throw await failureOf(response);
    const text = await textOf(response);
    try {
      return freezeDeep(JSON.parse(text) as T);
    } catch (error) {
      throw new WherryError('corrupt', `the server's answer to ${method} ${path} is not JSON`, { cause: error });
    }
  }

  async #send(
    method: string,
    path: string,
    of: { query?: Query; body?: unknown; type?: string; signal?: AbortSignal | undefined; timeout?: number },
  ): Promise<IncomingMessage> {
    throwIfAborted(of.signal);
    const body = of.body === undefined ? undefined : Buffer.from(JSON.stringify(of.body));
    const { token } = this.#config;
    const bearer = typeof token === 'function' ? await token() : token;
    const prefix = this.#base.pathname.replace(/\/$/, '');
    const options: RequestOptions = {
      method,
      hostname: this.#base.hostname.replace(/^\[|\]$/g, ''),
      port: this.#base.port,
      path: prefix + path + queryText(of.query),
      agent: this.#agent,
      headers: {
        accept: 'application/json',
        ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
        ...(body ? { 'content-type': of.type ?? 'application/json', 'content-length': body.length } : {}),
      },
      ...(of.signal ? { signal: of.signal } : {}),
    };
    return new Promise((resolve, reject) => {
      const send = this.#base.protocol === 'https:' ? httpsRequest : httpRequest;
      const request = send(options, resolve);
      request.on('error', (error) => reject(of.signal?.aborted ? cancelled(of.signal) : unreachable(error)));
      if (of.timeout !== undefined)
        request.setTimeout(of.timeout, () =>
          request.destroy(new WherryError('timeout', `${method} ${path} timed out`)),
        );
      request.end(body);
    });
  }
}

function unreachable(error: unknown): WherryError {
  if (error instanceof WherryError) return error;
  return new WherryError('unavailable', `the server cannot be reached: ${(error as Error).message}`, { cause: error });
}

/** `/apis/GROUP/VERSION/namespaces/NS/RESOURCE/NAME/SUB` */
function pathOf(
  { group, version, resource, namespaced }: ResourceId,
  { namespace, name }: { readonly namespace?: string | undefined; readonly name?: string | undefined },
  subresource?: string,
): string {
  const parts = group === '' ? ['api', version] : ['apis', group, version];
  if (namespaced && namespace) parts.push('namespaces', namespace);
  parts.push(resource);
  if (name !== undefined) {
    // An empty name or `..` would address something else.
    if (name === '' || name === '.' || name === '..') throw new WherryError('invalid', 'an object name is required');
    parts.push(name);
  }
  if (subresource) parts.push(subresource);
  return `/${parts.map(encodeURIComponent).join('/')}`;
}

function queryText(query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

function writeQuery({ dryRun, fieldManager }: WriteOptions): Query {
  return { ...(dryRun ? { dryRun: 'All' } : {}), ...(fieldManager ? { fieldManager } : {}) };
}

/** A body must say its version; the kind has to come from the caller. */
function typed<T extends KubeObject>({ group, version }: ResourceId, object: T): T {
  return object.apiVersion ? object : { apiVersion: group === '' ? version : `${group}/${version}`, ...object };
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > largestAnswer) throw new WherryError('tooLarge', 'the answer of the server is too large');
      chunks.push(chunk);
    }
  } catch (error) {
    response.destroy();
    throw unreachable(error);
  }
  return Buffer.concat(chunks).toString();
}

async function failureOf(response: IncomingMessage): Promise<WherryError> {
  const text = await textOf(response);
  let status: V1Status | undefined;
  try {
    const parsed = JSON.parse(text) as V1Status;
    if (parsed.kind === 'Status') status = parsed;
  } catch {
    // Not every server in between speaks JSON: the text has to do.
  }
  return errorOfStatus(response.statusCode ?? 500, status, text);
}

/** Lines of a stream, read only as fast as they are taken. */
async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      rest.push(chunk.subarray(from, end));
      const line = rest.length === 1 ? rest[0]!.toString() : Buffer.concat(rest).toString();
      rest = [];
      size = 0;
      from = end + 1;
      if (line !== '') yield line;
    }
    if (from === chunk.length) continue;
    rest.push(chunk.subarray(from));
    size += chunk.length - from;
    if (size > largestEvent) throw new WherryError('tooLarge', 'an event of the server is too large');
  }
}

function eventOf<T>(line: string): WatchEvent<T> {
  let event: { type: string; object: unknown };
  try {
    event = JSON.parse(line) as typeof event;
  } catch (error) {
    throw new WherryError('corrupt', 'an event of the server is not JSON', { cause: error });
  }
  if (event.type !== 'ERROR') return freezeDeep(event) as WatchEvent<T>;
  const status = event.object as V1Status;
  throw errorOfStatus(status.code ?? 500, status, '');
}
