import { canonicalQuantity } from '../quantity.ts';
import { canonicalMicroTime, canonicalTime } from '../time.ts';
import { base64Problem } from './base64.ts';
import { type FieldSchema, type ObjectSchema, schemaOf, type ValueSchema } from './schema.ts';

/** What decoding gives: the object and what it does not know, or why it cannot be read. */
export type Decoded =
  | { readonly ok: true; readonly object: Record<string, unknown>; readonly unknownFields: readonly string[] }
  | { readonly ok: false; readonly message: string };

class DecodeFailure extends Error {}

type Json = Record<string, unknown>;

/** Go's name of a type, as its JSON errors print it. */
function goType(value: ValueSchema): string {
  switch (value.kind) {
    case 'list':
      return `[]${goType(value.items)}`;
    case 'map':
      return `map[string]${goType(value.values)}`;
    case 'object':
      return value.name.replace(/^[A-Za-z]*?V(\d+)(?=[A-Z])/, 'v$1.');
    case 'boolean':
      return 'bool';
    case 'double':
      return 'float64';
    case 'bytes':
      return '[]uint8';
    case 'time':
    case 'microTime':
      return 'string';
    default:
      return value.kind;
  }
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  return typeof value;
}

/** Where decoding is: made only while a failure is worded, so the good path allocates no paths. */
interface Place {
  readonly parent: Place | undefined;
  /** A field's name, `[3]` for an item or `.key` for a map's value. */
  readonly step: string;
  /** The struct that has the field, for Go's words. */
  readonly owner: string;
}

/** Fields only, as Go's error has them. */
function fieldPath(place: Place | undefined): string {
  const steps: string[] = [];
  for (let at = place; at; at = at.parent) if (at.owner !== '') steps.unshift(at.step);
  return steps.join('.');
}

/** With items and keys, as field validation has them: `spec.containers[0].bar`. */
function fullPath(place: Place | undefined, field: string): string {
  let text = field;
  for (let at = place; at; at = at.parent) {
    text = text.startsWith('[') ? `${at.step}${text}` : `${at.step}.${text}`;
  }
  return text;
}

function mismatch(value: unknown, wanted: ValueSchema, place: Place | undefined): never {
  const what = typeof value === 'number' && wanted.kind.startsWith('int') ? `number ${value}` : jsonType(value);
  let owner = place;
  while (owner && owner.owner === '') owner = owner.parent;
  throw new DecodeFailure(
    owner
      ? `json: cannot unmarshal ${what} into Go struct field ${owner.owner.replace(/^[A-Za-z]*?V\d+(?=[A-Z])/, '')}.${fieldPath(place)} of type ${goType(wanted)}`
      : `json: cannot unmarshal ${what} into Go value of type ${goType(wanted)}`,
  );
}

/** Types with their own reader upstream lose the field in the error. */
function bareMismatch(value: unknown, type: string): never {
  throw new DecodeFailure(`json: cannot unmarshal ${jsonType(value)} into Go value of type ${type}`);
}

function canonical(read: (text: string) => string, value: unknown): string {
  if (typeof value !== 'string') bareMismatch(value, 'string');
  try {
    return read(value);
  } catch (error) {
    throw new DecodeFailure((error as Error).message);
  }
}

function integer(value: unknown, wanted: ValueSchema, limit: number, place: Place | undefined): unknown {
  if (typeof value !== 'number' || !Number.isInteger(value) || value > limit || value < -limit - 1) {
    mismatch(value, wanted, place);
  }
  return Object.is(value, -0) ? 0 : value;
}

class Decoder {
  readonly unknown: string[] = [];

  /** Checks `value` against a type and gives its canonical form; objects are changed in place. */
  value(value: unknown, type: ValueSchema, place: Place | undefined): unknown {
    switch (type.kind) {
      case 'string':
        if (typeof value !== 'string') mismatch(value, type, place);
        return value;
      case 'boolean':
        if (typeof value !== 'boolean') mismatch(value, type, place);
        return value;
      case 'int32':
        return integer(value, type, 2 ** 31 - 1, place);
      case 'int64':
        return integer(value, type, 2 ** 63, place);
      case 'double':
        if (typeof value !== 'number') mismatch(value, type, place);
        return value;
      case 'bytes':
        return this.#bytes(value, type, place);
      case 'time':
        return canonical(canonicalTime, value);
      case 'microTime':
        return canonical(canonicalMicroTime, value);
      case 'quantity':
        return canonical(
          (text) => canonicalQuantity(text),
          typeof value === 'number' ? String(value) : quantityText(value),
        );
      case 'intOrString':
        if (typeof value === 'string') return value;
        if (typeof value !== 'number') bareMismatch(value, 'int32');
        return integer(value, { kind: 'int32' }, 2 ** 31 - 1, undefined);
      case 'any':
        return value;
      case 'list':
        return this.#list(value, type, place);
      case 'map':
        return this.#map(value, type, place);
      case 'object':
        return this.#object(value, type, place);
    }
  }

  #bytes(value: unknown, type: ValueSchema, place: Place | undefined): string {
    if (typeof value !== 'string') mismatch(value, type, place);
    const at = base64Problem(value);
    if (at >= 0) throw new DecodeFailure(`illegal base64 data at input byte ${at}`);
    return /[\r\n]/.test(value) ? value.replace(/[\r\n]/g, '') : value;
  }

  #list(value: unknown, type: ValueSchema & { kind: 'list' }, place: Place | undefined): unknown[] {
    if (!Array.isArray(value)) mismatch(value, type, place);
    const plain = type.items.kind === 'string';
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      if (item === null) value[i] = zeroOf(type.items);
      else if (plain && typeof item === 'string') continue;
      else {
        const done = this.value(item, type.items, { parent: place, step: `[${i}]`, owner: '' });
        if (done !== item) value[i] = done;
      }
    }
    return value;
  }

  #map(value: unknown, type: ValueSchema & { kind: 'map' }, place: Place | undefined): Json {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) mismatch(value, type, place);
    const map = value as Json;
    const plain = type.values.kind === 'string';
    for (const key in map) {
      const item = map[key];
      if (plain && typeof item === 'string') continue;
      const done =
        item === null ? zeroOf(type.values) : this.value(item, type.values, { parent: place, step: key, owner: '' });
      if (done !== item)
        Object.defineProperty(map, key, { value: done, writable: true, enumerable: true, configurable: true });
    }
    return map;
  }

  #object(value: unknown, type: ValueSchema & { kind: 'object' }, place: Place | undefined): Json {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) mismatch(value, type, place);
    const object = value as Json;
    const schema = schemaOf(type.name);
    if (schema) this.fields(object, schema, place);
    return object;
  }

  /** Decodes the fields of a struct in place. */
  fields(object: Json, schema: ObjectSchema, place: Place | undefined): void {
    for (const key in object) {
      const field = schema.fields.get(key);
      if (!field) {
        this.unknown.push(fullPath(place, key));
        delete object[key];
        continue;
      }
      const item = object[key];
      if (item === null) this.#absent(object, field);
      else if (field.type.kind === 'string' && typeof item === 'string') {
        if (item === '' && field.dropZero) delete object[key];
      } else {
        const done = this.value(item, field.type, { parent: place, step: key, owner: schema.name });
        if (field.dropZero && isZero(done, field.type)) delete object[key];
        else if (done !== item) object[key] = done;
      }
    }
    for (const field of schema.always) {
      if (object[field.name] === undefined)
        object[field.name] = field.type.kind === 'object' ? this.value({}, field.type, undefined) : null;
    }
  }

  #absent(object: Json, field: FieldSchema): void {
    if (field.required && field.type.kind === 'list') object[field.name] = [];
    else if (field.always && field.type.kind !== 'object') object[field.name] = null;
    else delete object[field.name];
  }
}

function quantityText(value: unknown): unknown {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function zeroOf(type: ValueSchema): unknown {
  switch (type.kind) {
    case 'list':
      return [];
    case 'map':
    case 'object':
      return {};
    case 'boolean':
      return false;
    case 'int32':
    case 'int64':
    case 'double':
    case 'intOrString':
      return 0;
    case 'quantity':
      return '0';
    case 'any':
      return null;
    default:
      return '';
  }
}

function isZero(value: unknown, type: ValueSchema): boolean {
  if (type.kind === 'list') return (value as unknown[]).length === 0;
  if (type.kind === 'map') {
    for (const _ in value as Json) return false;
    return true;
  }
  return value === '' || value === 0 || value === false;
}

/**
 * Checks JSON against a generated type (`V1Pod`) as Go's decoding does, and normalises it: nulls and
 * zero values that say nothing are dropped, quantities and times are made canonical, unknown fields
 * are removed and named with their path. The value given is changed in place and returned. A name
 * without a schema (custom resources) is taken as it is.
 */
export function decodeObject(schemaName: string, value: unknown): Decoded {
  const decoder = new Decoder();
  try {
    const object = decoder.value(value, { kind: 'object', name: schemaName }, undefined) as Json;
    return { ok: true, object, unknownFields: decoder.unknown };
  } catch (error) {
    if (error instanceof DecodeFailure) return { ok: false, message: error.message };
    throw error;
  }
}
