import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { gunzipSync } from 'node:zlib';
import {
  aggregatedCoreDiscovery,
  aggregatedGroupDiscovery,
  coreVersions,
  createOpenApiDocuments,
  groupDocument,
  groupList,
  type KindDeclaration,
  type OpenApiDocument,
  resourceList,
} from '@wherry/api';
import { groupVersionOf } from '../registry/catalog.ts';
import { jsonLine } from './encode.ts';
import { acceptsGzip, type Request, type Response, send } from './exchange.ts';
import type { Documents } from './paths.ts';

const aggregatedType = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

interface Parts {
  readonly kinds: readonly KindDeclaration[];
  /** `v1.36.0`. */
  readonly version: string;
  /** `host:port`. */
  readonly address: string;
}

/** Serves discovery (plain and aggregated, KEP-3352) and OpenAPI, made when they are first asked for. */
export function documents({ kinds, version, address }: Parts): {
  readonly serve: Documents;
  paths(): readonly string[];
} {
  const openapi = createOpenApiDocuments(kinds, version);
  const encoded = new Map<string, { readonly body: Buffer; readonly tag: string }>();
  const sendKept = (
    key: string,
    make: () => unknown,
    type: string,
    request: Request,
    response: Response,
  ): Promise<number> => {
    let kept = encoded.get(key);
    if (kept === undefined) {
      const body = jsonLine(make());
      kept = { body, tag: `"${createHash('sha256').update(body).digest('hex').toUpperCase()}"` };
      encoded.set(key, kept);
    }
    response.setHeader('etag', kept.tag);
    response.setHeader('vary', 'Accept');
    if (request.headers['if-none-match'] === kept.tag) return Promise.resolve(notModified(response));
    send(request, response, 200, kept.body, type);
    return Promise.resolve(200);
  };
  const plain = (path: string, make: () => unknown, request: Request, response: Response): Promise<number> =>
    sendKept(path, make, 'application/json', request, response);

  const serve: Documents = (path, request, response) => {
    const parts = path.split('/').filter((part) => part !== '');
    const [root, first, second] = parts;
    const whole = `/${parts.join('/')}`;
    if (root === 'api' && parts.length === 1) {
      if (wantsAggregated(request))
        return sendKept('aggregated /api', () => aggregatedCoreDiscovery(kinds), aggregatedType, request, response);
      return plain(whole, () => coreVersions(kinds, address), request, response);
    }
    if (root === 'apis' && parts.length === 1) {
      if (wantsAggregated(request))
        return sendKept('aggregated /apis', () => aggregatedGroupDiscovery(kinds), aggregatedType, request, response);
      return plain(whole, () => groupList(kinds), request, response);
    }
    if (root === 'api' && parts.length === 2) return listOf('', first!, whole, request, response);
    if (root === 'apis' && parts.length === 2) {
      const document = groupDocument(kinds, first!);
      return document === undefined ? undefined : plain(whole, () => document, request, response);
    }
    if (root === 'apis' && parts.length === 3) return listOf(first!, second!, whole, request, response);
    if (root !== 'openapi') return undefined;
    if (whole === '/openapi/v2')
      return openapi
        .v2(wantsProtobuf(request) ? 'protobuf' : 'json')
        .then((document) => sendCompressed(document, request, response));
    if (whole === '/openapi/v3') return plain(whole, () => openapi.index(), request, response);
    if (first !== 'v3' || !kinds.some((kind) => whole === `/openapi/v3/${apiPath(kind)}`)) return undefined;
    return openapi.v3(parts.slice(2).join('/')).then((document) => sendCompressed(document!, request, response));
  };
  const listOf = (
    group: string,
    v: string,
    path: string,
    request: Request,
    response: Response,
  ): Promise<number> | undefined => {
    const list = resourceList(kinds, group, v);
    return list === undefined ? undefined : plain(path, () => list, request, response);
  };
  const paths = (): string[] => {
    const groups = [...new Set(kinds.map((kind) => kind.group).filter((group) => group !== ''))];
    const versions = [...new Set(kinds.map(apiPath))];
    return ['/api', '/apis', ...groups.map((group) => `/apis/${group}`), ...versions.map((path) => `/${path}`)];
  };
  return { serve, paths };
}

function apiPath(kind: KindDeclaration): string {
  return kind.group === '' ? `api/${kind.version}` : `apis/${groupVersionOf(kind)}`;
}

/** Whether the client prefers the aggregated form over the plain one. */
function wantsAggregated(request: Request): boolean {
  const accept = String(request.headers.accept ?? '');
  return accept.split(',').some((clause) => {
    const parts = clause.split(';').map((part) => part.trim());
    return parts[0] === 'application/json' && parts.includes('as=APIGroupDiscoveryList') && parts.includes('v=v2');
  });
}

/** kubectl reads `/openapi/v2` as a protobuf message only; the name has an `@` in requests. */
function wantsProtobuf(request: Request): boolean {
  return /application\/com\.github\.proto-openapi\.spec\.v2[@.]v1\.0\+protobuf/.test(
    String(request.headers.accept ?? ''),
  );
}

function notModified(response: Response): number {
  (response as ServerResponse).writeHead(304);
  response.end();
  return 304;
}

/** OpenAPI documents are kept compressed; who cannot read that gets them expanded. */
function sendCompressed(document: OpenApiDocument, request: Request, response: Response): number {
  const tag = `"${document.hash.toUpperCase()}"`;
  response.setHeader('etag', tag);
  response.setHeader('vary', 'Accept-Encoding, Accept');
  if (request.headers['if-none-match'] === tag) return notModified(response);
  if (!acceptsGzip(request)) {
    send(request, response, 200, gunzipSync(document.gzip), document.contentType);
    return 200;
  }
  (response as ServerResponse).writeHead(200, {
    'content-type': document.contentType,
    'content-encoding': 'gzip',
    'content-length': document.gzip.length,
  });
  (response as ServerResponse).end(document.gzip);
  return 200;
}
