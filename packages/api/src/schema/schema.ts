import { schemaText } from '../../generated/schemas.ts';
import {
  alwaysFacts,
  defaultFacts,
  droppedZeroFacts,
  enumFacts,
  keptStringFacts,
  mergeFacts,
  stopSignals,
} from './extensions.ts';

/** Scalar types as they stand in JSON. */
export type ScalarKind =
  | 'string'
  | 'boolean'
  | 'int32'
  | 'int64'
  | 'double'
  | 'bytes'
  | 'time'
  | 'microTime'
  | 'intOrString'
  | 'quantity'
  | 'any';

/** The type of a field, list item or map value. */
export type ValueSchema =
  | { readonly kind: ScalarKind }
  | { readonly kind: 'list'; readonly items: ValueSchema }
  | { readonly kind: 'map'; readonly values: ValueSchema }
  | { readonly kind: 'object'; readonly name: string };

/** One field of a type, with how it merges. */
export interface FieldSchema {
  readonly name: string;
  readonly type: ValueSchema;
  readonly required: boolean;
  /** For server-side apply; lists that have none are atomic. */
  readonly listType?: 'map' | 'set' | undefined;
  readonly listMapKeys?: readonly string[] | undefined;
  /** For strategic merge patches: `merge`, `retainKeys`, `replace`. */
  readonly patchStrategies: readonly string[];
  /** Key of a list of objects with the strategy `merge`. */
  readonly patchMergeKey?: string | undefined;
  /** Overrides how the value's type merges. */
  readonly mapType?: 'atomic' | 'granular' | undefined;
  readonly enum?: readonly string[] | undefined;
  readonly default?: unknown;
  /** A struct that is written even when empty: `{}`, or `null` for a time. */
  readonly always: boolean;
  /** Whether a zero value (`""`, `0`, `false`) is the same as leaving the field out. */
  readonly dropZero: boolean;
}

/** A type of the API, e.g. `V1PodSpec`. */
export interface ObjectSchema {
  readonly name: string;
  /** The name in OpenAPI documents, e.g. `io.k8s.api.core.v1.PodSpec`. */
  readonly definition: string;
  readonly fields: ReadonlyMap<string, FieldSchema>;
  /** Owned and replaced as a whole by server-side apply. */
  readonly atomic: boolean;
  /** Structs that are written even when empty. */
  readonly always: readonly FieldSchema[];
}

const scalars: Readonly<Record<string, ScalarKind>> = {
  s: 'string',
  b: 'boolean',
  i: 'int32',
  l: 'int64',
  d: 'double',
  n: 'double',
  B: 'bytes',
  T: 'time',
  M: 'microTime',
  I: 'intOrString',
  Q: 'quantity',
  '*': 'any',
};

function valueSchema(code: string): ValueSchema {
  if (code.startsWith('[]')) return { kind: 'list', items: valueSchema(code.slice(2)) };
  if (code.startsWith('{}')) return { kind: 'map', values: valueSchema(code.slice(2)) };
  const scalar = scalars[code];
  return scalar ? { kind: scalar } : { kind: 'object', name: code };
}

/** `Type field:fact` lines as facts by type and field; a fact without a colon is empty. */
function factTable(text: string): Map<string, Map<string, string>> {
  const table = new Map<string, Map<string, string>>();
  for (const line of text.trim().split('\n')) {
    const [type, ...facts] = line.split(' ') as [string, ...string[]];
    const row = new Map<string, string>();
    for (const fact of facts) {
      const colon = fact.indexOf(':');
      row.set(colon < 0 ? fact : fact.slice(0, colon), colon < 0 ? '' : fact.slice(colon + 1));
    }
    table.set(type, row);
  }
  return table;
}

interface Sources {
  readonly lines: ReadonlyMap<string, string>;
  readonly byDefinition: ReadonlyMap<string, string>;
  readonly merge: ReturnType<typeof factTable>;
  readonly enums: ReturnType<typeof factTable>;
  readonly defaults: ReturnType<typeof factTable>;
  readonly always: ReturnType<typeof factTable>;
  readonly keptStrings: ReturnType<typeof factTable>;
  readonly droppedZeros: ReturnType<typeof factTable>;
}

let loaded: Sources | undefined;

function sources(): Sources {
  if (loaded) return loaded;
  const lines = new Map<string, string>();
  const byDefinition = new Map<string, string>();
  for (const line of schemaText.split('\n')) {
    const bar = line.indexOf('|');
    const name = line.slice(0, bar);
    lines.set(name, line);
    byDefinition.set(line.slice(bar + 1, line.indexOf('|', bar + 1)), name);
  }
  loaded = {
    lines,
    byDefinition,
    merge: factTable(mergeFacts),
    enums: factTable(enumFacts),
    defaults: factTable(defaultFacts),
    always: factTable(alwaysFacts),
    keptStrings: factTable(keptStringFacts),
    droppedZeros: factTable(droppedZeroFacts),
  };
  return loaded;
}

type MergeFacts = Pick<FieldSchema, 'listType' | 'listMapKeys' | 'patchStrategies' | 'patchMergeKey' | 'mapType'>;

function readMerge(fact: string | undefined): MergeFacts {
  const found: { -readonly [K in keyof MergeFacts]: MergeFacts[K] } = { patchStrategies: [] };
  const strategies: string[] = [];
  for (const part of fact?.split('+') ?? []) {
    const [, word, inner] = /^([A-Za-z]+)(?:\((.*)\))?$/.exec(part) as unknown as [string, string, string | undefined];
    if (word === 'map') {
      found.listType = 'map';
      found.listMapKeys = inner!.split(',');
    } else if (word === 'set') found.listType = 'set';
    else if (word === 'atomic' || word === 'granular') found.mapType = word;
    else {
      strategies.push(word);
      if (inner) found.patchMergeKey = inner;
    }
  }
  return { ...found, patchStrategies: strategies };
}

function dropsZero(from: Sources, type: string, field: string, value: ValueSchema): boolean {
  if (value.kind === 'string') return !from.keptStrings.get(type)?.has(field);
  if (value.kind === 'bytes' || value.kind === 'list' || value.kind === 'map') return true;
  return from.droppedZeros.get(type)?.has(field) ?? false;
}

function readEnum(fact: string | undefined): readonly string[] | undefined {
  return fact === undefined ? undefined : fact === '@signals' ? stopSignals() : fact.split('|');
}

function compile(name: string, line: string): ObjectSchema {
  const from = sources();
  const [, definition, packed] = line.split('|') as [string, string, string];
  const merge = from.merge.get(name);
  const root = packed.includes('apiVersion:s kind:s metadata:V1ObjectMeta');
  const fields = new Map<string, FieldSchema>();
  for (const item of packed === '' ? [] : packed.split(' ')) {
    const colon = item.indexOf(':');
    const field = item.slice(0, colon);
    const required = item.endsWith('!');
    const type = valueSchema(item.slice(colon + 1, required ? -1 : undefined));
    const given = from.defaults.get(name)?.get(field);
    fields.set(field, {
      name: field,
      type,
      required,
      ...readMerge(merge?.get(field)),
      enum: readEnum(from.enums.get(name)?.get(field)),
      default: given === undefined ? undefined : JSON.parse(given),
      always:
        (root && type.kind === 'object' && (field === 'spec' || field === 'status')) ||
        (from.always.get(name)?.has(field) ?? false),
      dropZero: !required && dropsZero(from, name, field, type),
    });
  }
  const always = [...fields.values()].filter((f) => f.always);
  return { name, definition, fields, always, atomic: merge?.has('!atomic') ?? false };
}

const compiled = new Map<string, ObjectSchema>();

/** The schema of a generated type (`V1Pod`), or `undefined` when there is none. Compiled on first use. */
export function schemaOf(name: string): ObjectSchema | undefined {
  const known = compiled.get(name);
  if (known) return known;
  const line = sources().lines.get(name);
  if (line === undefined) return undefined;
  const schema = compile(name, line);
  compiled.set(name, schema);
  return schema;
}

/** The generated type's name for a definition such as `io.k8s.api.core.v1.Pod`. */
export function schemaNameOf(definition: string): string | undefined {
  return sources().byDefinition.get(definition);
}

/** Names of all generated types. */
export function schemaNames(): readonly string[] {
  return [...sources().lines.keys()];
}

/** The schema that an `object` value schema names; `undefined` for anything else or an unknown name. */
export function objectSchemaOf(value: ValueSchema | undefined): ObjectSchema | undefined {
  return value?.kind === 'object' ? schemaOf(value.name) : undefined;
}

/** The field reached from a type by field names alone (list items and map values are stepped into). */
export function fieldAt(schema: ObjectSchema, path: readonly string[]): FieldSchema | undefined {
  let at: ObjectSchema | undefined = schema;
  let found: FieldSchema | undefined;
  for (const name of path) {
    found = at?.fields.get(name);
    if (!found) return undefined;
    let value: ValueSchema = found.type;
    while (value.kind === 'list' || value.kind === 'map') value = value.kind === 'list' ? value.items : value.values;
    at = objectSchemaOf(value);
  }
  return found;
}
