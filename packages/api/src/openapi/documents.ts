import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { schemaText } from '../../generated/schemas.ts';
import type { KindDeclaration } from '../kind.ts';
import { enumFacts, mergeFacts } from '../schema/extensions.ts';
import { schemaOf } from '../schema/index.ts';
import {
  type Documentation,
  type OpenApiVersion,
  reachableTypes,
  specialDefinitions,
  typeDefinition,
} from './definitions.ts';
import { kindPaths } from './paths.ts';
import { encodeOpenApiV2 } from './protobuf.ts';

type Json = Record<string, unknown>;

/** A document as it goes over the wire, compressed. */
export interface OpenApiDocument {
  readonly contentType: string;
  readonly gzip: Buffer;
  /** For `ETag`, without quotes. */
  readonly hash: string;
}

/** How a document is written down. */
export type OpenApiForm = 'json' | 'protobuf';

/** The media type of `/openapi/v2` as `openapi.v2.Document`, as upstream names it in answers. */
const protobufType = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** The OpenAPI documents of a set of kinds. Each is built on first use and kept compressed. */
export interface OpenApiDocuments {
  /** `/openapi/v3`: the paths with their hashes. */
  index(): { readonly paths: Readonly<Record<string, { readonly serverRelativeURL: string }>> };
  /** `/openapi/v3/PATH`, e.g. `api/v1` or `apis/apps/v1`; `undefined` when there is none. */
  v3(path: string): Promise<OpenApiDocument | undefined>;
  /** `/openapi/v2`, as JSON or as the message that kubectl reads. */
  v2(form?: OpenApiForm): Promise<OpenApiDocument>;
}

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** Decoded for the time of one build only: it is some megabytes. */
async function readDocumentation(): Promise<Documentation> {
  const { packedDocumentation } = await import('../../generated/documentation.ts');
  return JSON.parse((await decompress(Buffer.from(packedDocumentation, 'base64'))).toString()) as Documentation;
}

/** Types that requests and answers of every group use. */
const shared = ['V1APIResourceList', 'V1DeleteOptions', 'V1Scale', 'V1Status', 'V1WatchEvent'];

interface Gvk {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

function definitions(kinds: readonly KindDeclaration[], docs: Documentation, version: OpenApiVersion): Json {
  const roots = new Map<string, Gvk[]>();
  for (const { schema, group, version: v, kind } of kinds) {
    for (const suffix of ['', 'List']) {
      if (!schemaOf(schema + suffix)) continue;
      roots.set(schema + suffix, [...(roots.get(schema + suffix) ?? []), { group, version: v, kind: kind + suffix }]);
    }
  }
  const found: Json = specialDefinitions(version);
  for (const name of [...reachableTypes([...roots.keys(), ...shared])].sort()) {
    const schema = schemaOf(name)!;
    const of = roots.get(name);
    found[schema.definition] = {
      ...typeDefinition(schema, docs, version),
      ...(of ? { 'x-kubernetes-group-version-kind': of } : {}),
    };
  }
  return found;
}

/**
 * Makes the documents of some kinds lazily. `version` is the Kubernetes version shown in them, e.g.
 * `v1.36.0`. Make new ones when the kinds change (custom resources).
 */
export function createOpenApiDocuments(kinds: readonly KindDeclaration[], version: string): OpenApiDocuments {
  const info = { title: 'Kubernetes', version };
  const byPath = new Map<string, KindDeclaration[]>();
  for (const kind of kinds) {
    const path = kind.group === '' ? `api/${kind.version}` : `apis/${kind.group}/${kind.version}`;
    const list = byPath.get(path);
    if (list) list.push(kind);
    else byPath.set(path, [kind]);
  }
  let base: string | undefined;
  const hashOf = (path: string): string => {
    base ??= createHash('sha256').update(schemaText).update(mergeFacts).update(enumFacts).update(version).digest('hex');
    return createHash('sha256')
      .update(base)
      .update(JSON.stringify([path, byPath.get(path) ?? kinds]))
      .digest('hex')
      .slice(0, 64);
  };
  const built = new Map<string, Promise<OpenApiDocument>>();
  const keep = (
    path: string,
    make: (docs: Documentation) => Json,
    form: OpenApiForm = 'json',
  ): Promise<OpenApiDocument> => {
    const key = `${form} ${path}`;
    const known = built.get(key);
    if (known) return known;
    const building = (async (): Promise<OpenApiDocument> => {
      const document = make(await readDocumentation());
      const bytes = form === 'json' ? JSON.stringify(document) : encodeOpenApiV2(document);
      const contentType = form === 'json' ? 'application/json' : protobufType;
      return { contentType, gzip: await compress(bytes), hash: hashOf(form === 'json' ? path : key) };
    })();
    building.catch(() => built.delete(key));
    built.set(key, building);
    return building;
  };
  const paths = (list: readonly KindDeclaration[], v: OpenApiVersion): Json =>
    Object.assign({}, ...list.map((kind) => kindPaths(kind, v))) as Json;

  return {
    index: () => ({
      paths: Object.fromEntries(
        [...byPath.keys()]
          .sort()
          .map((path) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hashOf(path).toUpperCase()}` }]),
      ),
    }),
    v3: async (path) => {
      const list = byPath.get(path);
      if (!list) return undefined;
      return keep(path, (docs) => ({
        openapi: '3.0.0',
        info,
        paths: paths(list, 3),
        components: { schemas: definitions(list, docs, 3) },
      }));
    },
    v2: (form) =>
      keep(
        'v2',
        (docs) => ({
          swagger: '2.0',
          info,
          paths: paths(kinds, 2),
          definitions: definitions(kinds, docs, 2),
        }),
        form,
      ),
  };
}
