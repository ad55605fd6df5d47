import { type FieldSchema, type ObjectSchema, schemaOf, type ValueSchema } from '../schema/index.ts';
import { missingDescription } from './descriptions.ts';

type Json = Record<string, unknown>;

/** Descriptions by type: its own and those of its fields. */
export type Documentation = Readonly<Record<string, readonly [string, Readonly<Record<string, string>>]>>;

/** Which of the two document formats is written. */
export type OpenApiVersion = 2 | 3;

const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const special: Readonly<Record<string, string>> = {
  time: `${meta}.Time`,
  microTime: `${meta}.MicroTime`,
  quantity: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
  intOrString: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
};

/** Definitions of the types that JSON has as scalars. */
export function specialDefinitions(version: OpenApiVersion): Json {
  return {
    [special.time!]: {
      description: 'A point in time as RFC 3339 with whole seconds.',
      type: 'string',
      format: 'date-time',
    },
    [special.microTime!]: {
      description: 'A point in time as RFC 3339 with microseconds.',
      type: 'string',
      format: 'date-time',
    },
    [special.quantity!]: {
      description: 'An amount such as 100m, 1.5 or 2Gi, kept exactly and written in its canonical form.',
      ...(version === 3 ? { oneOf: [{ type: 'string' }, { type: 'number' }] } : { type: 'string' }),
    },
    [special.intOrString!]: {
      description: 'An integer, or a string such as a name or a percentage.',
      format: 'int-or-string',
      ...(version === 3 ? { oneOf: [{ type: 'integer' }, { type: 'string' }] } : { type: 'string' }),
    },
  };
}

const plainTypes: Readonly<Record<string, Json>> = {
  string: { type: 'string' },
  boolean: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  double: { type: 'number', format: 'double' },
  bytes: { type: 'string', format: 'byte' },
};

function reference(definition: string, version: OpenApiVersion): Json {
  return version === 3
    ? { allOf: [{ $ref: `#/components/schemas/${definition}` }] }
    : { $ref: `#/definitions/${definition}` };
}

function zeroOf(type: ValueSchema): unknown {
  switch (type.kind) {
    case 'string':
      return '';
    case 'boolean':
      return false;
    case 'int32':
    case 'int64':
    case 'double':
      return 0;
    case 'object':
      return {};
    default:
      return undefined;
  }
}

function withDefault(schema: Json, value: unknown, version: OpenApiVersion): Json {
  return value === undefined || version === 2 ? schema : { ...schema, default: value };
}

function valueDefinition(type: ValueSchema, version: OpenApiVersion): Json {
  if (type.kind === 'list') {
    return { type: 'array', items: withDefault(valueDefinition(type.items, version), zeroOf(type.items), version) };
  }
  if (type.kind === 'map') {
    const values = withDefault(valueDefinition(type.values, version), zeroOf(type.values), version);
    return { type: 'object', additionalProperties: values };
  }
  if (type.kind === 'object') {
    const schema = schemaOf(type.name);
    return schema ? reference(schema.definition, version) : { type: 'object' };
  }
  const named = special[type.kind];
  if (named) return reference(named, version);
  return plainTypes[type.kind] ?? { type: 'object' };
}

function enumText(values: readonly string[]): string {
  return `\n\nPossible enum values:\n${values.map((v) => ` - \`${JSON.stringify(v)}\``).join('\n')}`;
}

function defaultOf(field: FieldSchema): unknown {
  if (field.default !== undefined) return field.default;
  if (field.always || field.name === 'metadata') return zeroOf(field.type);
  return field.required ? zeroOf(field.type) : undefined;
}

function fieldDefinition(field: FieldSchema, text: string, version: OpenApiVersion): Json {
  const description = text + (field.enum && text !== '' ? enumText(field.enum) : '');
  const strategies = field.patchStrategies;
  return withDefault(
    {
      ...(description === '' ? {} : { description }),
      ...valueDefinition(field.type, version),
      ...(field.enum ? { enum: field.enum } : {}),
      ...(field.type.kind === 'list' ? { 'x-kubernetes-list-type': field.listType ?? 'atomic' } : {}),
      ...(field.listMapKeys ? { 'x-kubernetes-list-map-keys': field.listMapKeys } : {}),
      ...(field.mapType ? { 'x-kubernetes-map-type': field.mapType } : {}),
      ...(field.patchMergeKey ? { 'x-kubernetes-patch-merge-key': field.patchMergeKey } : {}),
      ...(strategies.length > 0 ? { 'x-kubernetes-patch-strategy': strategies.join(',') } : {}),
    },
    defaultOf(field),
    version,
  );
}

/** One type as an OpenAPI schema. */
export function typeDefinition(schema: ObjectSchema, docs: Documentation, version: OpenApiVersion): Json {
  const [own, texts] = docs[schema.name] ?? ['', {}];
  const properties: Json = {};
  const required: string[] = [];
  for (const field of schema.fields.values()) {
    properties[field.name] = fieldDefinition(
      field,
      texts[field.name] || missingDescription(schema.name, field.name),
      version,
    );
    if (field.required) required.push(field.name);
  }
  return {
    ...(own === '' ? {} : { description: own }),
    type: 'object',
    ...(required.length > 0 ? { required } : {}),
    ...(schema.fields.size > 0 ? { properties } : {}),
    ...(schema.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
  };
}

/** The types that a field's value refers to. */
export function referredTypes(type: ValueSchema): readonly string[] {
  if (type.kind === 'list') return referredTypes(type.items);
  if (type.kind === 'map') return referredTypes(type.values);
  return type.kind === 'object' ? [type.name] : [];
}

/** All types reachable from some, those included. */
export function reachableTypes(from: Iterable<string>): ReadonlySet<string> {
  const found = new Set<string>();
  const open = [...from];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const schema = found.has(name) ? undefined : schemaOf(name);
    if (!schema) continue;
    found.add(name);
    for (const field of schema.fields.values()) open.push(...referredTypes(field.type));
  }
  return found;
}
