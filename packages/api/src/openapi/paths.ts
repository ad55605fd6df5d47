import { subresourcesOf } from '../discovery/index.ts';
import type { KindDeclaration } from '../kind.ts';
import type { OpenApiVersion } from './definitions.ts';

type Json = Record<string, unknown>;

interface Gvk {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

const parameterTexts: Readonly<Record<string, string>> = {
  dryRun: 'With the value All, everything is checked and nothing is kept.',
  fieldManager: 'The name of the actor that owns the fields this request sets.',
  fieldValidation: 'What to do with unknown or duplicate fields: Ignore, Warn or Strict.',
  force: 'Takes fields over from other managers (apply only).',
};

function parameter(name: string, version: OpenApiVersion): Json {
  const type = name === 'force' ? 'boolean' : 'string';
  const head = { name, in: 'query', description: parameterTexts[name] };
  return version === 3 ? { ...head, schema: { type, uniqueItems: true } } : { ...head, type, uniqueItems: true };
}

/** What one verb of a path says: its action, its HTTP method and whether it writes an object. */
const operations: Readonly<
  Record<string, { readonly method: string; readonly action: string; readonly item: boolean }>
> = {
  get: { method: 'get', action: 'get', item: true },
  list: { method: 'get', action: 'list', item: false },
  create: { method: 'post', action: 'post', item: false },
  update: { method: 'put', action: 'put', item: true },
  patch: { method: 'patch', action: 'patch', item: true },
  delete: { method: 'delete', action: 'delete', item: true },
  deletecollection: { method: 'delete', action: 'deletecollection', item: false },
};

function operation(verb: string, of: Gvk, version: OpenApiVersion): Json {
  const { method, action } = operations[verb]!;
  const names = {
    post: ['dryRun', 'fieldManager', 'fieldValidation'],
    put: ['dryRun', 'fieldManager', 'fieldValidation'],
    patch: ['dryRun', 'fieldManager', 'fieldValidation', 'force'],
    delete: ['dryRun'],
  }[method];
  return {
    description: `${verb} ${of.kind}`,
    ...(names ? { parameters: names.map((name) => parameter(name, version)) } : {}),
    responses: { 200: { description: 'OK' }, 401: { description: 'Unauthorized' } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': { group: of.group, version: of.version, kind: of.kind },
  };
}

const everyVerb = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update'];

/** The paths of one kind with their operations. */
export function kindPaths(kind: KindDeclaration, version: OpenApiVersion): Json {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const collection = `${root}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.resource}`;
  const paths: Record<string, Json> = {};
  const add = (path: string, verb: string, of: Gvk, method = operations[verb]?.method): void => {
    if (method === undefined) return;
    paths[path] ??= {};
    paths[path][method] = operation(verb, of, version);
  };
  const verbs: readonly string[] = kind.verbs ?? everyVerb;
  for (const verb of verbs) {
    add(operations[verb]?.item ? `${collection}/{name}` : collection, verb, kind);
    if (verb === 'list' && kind.namespaced) add(`${root}/${kind.resource}`, verb, kind);
  }
  for (const sub of subresourcesOf(kind)) {
    for (const verb of sub.verbs) add(`${collection}/{name}/${sub.name}`, verb, sub);
  }
  return paths;
}
