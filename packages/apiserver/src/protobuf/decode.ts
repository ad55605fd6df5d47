import { badRequestError, type ObjectSchema, schemaNameOf, schemaOf, type ValueSchema } from '@wherry/api';
import { type Numbered, numbersOf } from './table.ts';
import { malformed, signed, type WireField, wireFields } from './wire.ts';

/** The media type of protobuf bodies. */
export const protobufType = 'application/vnd.kubernetes.protobuf';

/** Before each message: `k8s` and a zero byte (apimachinery `protobuf.NewSerializer`). */
const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00]);
const deepest = 64;

/** Decodes a request body: the envelope `runtime.Unknown` and the object in it, as plain JSON. Error 400. */
export function decodeProtobuf(body: Buffer): unknown {
  if (!body.subarray(0, 4).equals(magic)) throw badRequestError('the body is no Kubernetes protobuf message');
  let apiVersion = '';
  let kind = '';
  let raw: Buffer | undefined;
  for (const field of wireFields(body.subarray(4))) {
    if (field.kind !== 'bytes') continue;
    if (field.number === 2) raw = field.bytes;
    if (field.number !== 1) continue;
    for (const part of wireFields(field.bytes)) {
      if (part.kind === 'bytes' && part.number === 1) apiVersion = part.bytes.toString('utf8');
      if (part.kind === 'bytes' && part.number === 2) kind = part.bytes.toString('utf8');
    }
  }
  const schema = schemaFor(apiVersion, kind);
  if (schema === undefined || raw === undefined) {
    throw badRequestError(`no protobuf form is known of ${apiVersion} ${kind}`);
  }
  return { apiVersion, kind, ...message(raw, schema, numbersOf(schema.definition), 0) };
}

function schemaFor(apiVersion: string, kind: string): ObjectSchema | undefined {
  const slash = apiVersion.indexOf('/');
  const group = slash < 0 ? 'core' : apiVersion.slice(0, slash).split('.')[0]!;
  const version = apiVersion.slice(slash + 1);
  const name =
    schemaNameOf(`io.k8s.api.${group}.${version}.${kind}`) ??
    schemaNameOf(`io.k8s.apimachinery.pkg.apis.meta.v1.${kind}`);
  return name === undefined ? undefined : schemaOf(name);
}

type Json = Record<string, unknown>;

function message(bytes: Buffer, schema: ObjectSchema, numbers: Numbered, depth: number): Json {
  const object: Json = {};
  fill(object, bytes, schema, numbers, depth);
  return object;
}

function fill(object: Json, bytes: Buffer, schema: ObjectSchema, numbers: Numbered, depth: number): void {
  if (depth > deepest) throw malformed();
  for (const wire of wireFields(bytes)) {
    const field = numbers.get(wire.number);
    // Fields of a newer client than this server are dropped, as protobuf's rules have it.
    if (field === undefined) continue;
    if (field.inline !== undefined && wire.kind === 'bytes') {
      fill(object, wire.bytes, schema, field.inline(), depth + 1);
      continue;
    }
    const type = schema.fields.get(field.name)?.type;
    if (type !== undefined) add(object, field.name, wire, type, depth);
  }
}

function add(object: Json, name: string, wire: WireField, type: ValueSchema, depth: number): void {
  if (type.kind === 'list') {
    object[name] ??= [];
    (object[name] as unknown[]).push(...items(wire, type.items, depth));
    return;
  }
  if (type.kind === 'map') {
    object[name] ??= {};
    const [key, value] = entry(wire, type.values, depth);
    Object.defineProperty(object[name], key, { value, enumerable: true, configurable: true, writable: true });
    return;
  }
  const value = single(wire, type, depth);
  if (value !== undefined) object[name] = value;
}

/** List items stand one a field; numbers may also be packed into one. */
function items(wire: WireField, type: ValueSchema, depth: number): unknown[] {
  const value = single(wire, type, depth);
  return value === undefined ? [] : [value];
}

function entry(wire: WireField, type: ValueSchema, depth: number): [string, unknown] {
  if (wire.kind !== 'bytes') throw malformed();
  let key = '';
  let value: unknown;
  for (const part of wireFields(wire.bytes)) {
    if (part.number === 1 && part.kind === 'bytes') key = part.bytes.toString('utf8');
    // A list as a map's value is wrapped in a message of its own.
    if (part.number === 2) value = type.kind === 'list' ? wrapped(part, type.items, depth) : single(part, type, depth);
  }
  return [key, value ?? (type.kind === 'string' || type.kind === 'bytes' ? '' : {})];
}

function wrapped(wire: WireField, type: ValueSchema, depth: number): unknown[] {
  if (wire.kind !== 'bytes') throw malformed();
  const list: unknown[] = [];
  for (const part of wireFields(wire.bytes)) if (part.number === 1) list.push(...items(part, type, depth));
  return list;
}

function single(wire: WireField, type: ValueSchema, depth: number): unknown {
  if (wire.kind === 'varint') return type.kind === 'boolean' ? wire.value !== 0n : signed(wire.value);
  if (wire.kind === 'fixed64') return wire.bytes.readDoubleLE(0);
  const { bytes } = wire;
  switch (type.kind) {
    case 'string':
      return bytes.toString('utf8');
    case 'bytes':
      return bytes.toString('base64');
    case 'time':
    case 'microTime':
      return time(bytes, type.kind);
    case 'quantity':
      return stringField(bytes, 1) ?? '0';
    case 'intOrString':
      return intOrString(bytes);
    case 'any': {
      const raw = stringField(bytes, 1);
      return raw === undefined || raw === '' ? undefined : parsed(raw);
    }
    case 'object': {
      const schema = schemaOf(type.name);
      if (schema === undefined) return undefined;
      return message(bytes, schema, numbersOf(schema.definition), depth + 1);
    }
    default:
      throw malformed();
  }
}

function stringField(bytes: Buffer, number: number): string | undefined {
  for (const part of wireFields(bytes))
    if (part.number === number && part.kind === 'bytes') return part.bytes.toString('utf8');
  return undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw malformed();
  }
}

/** `Timestamp { seconds = 1; nanos = 2 }`; an empty one is the zero time, which JSON leaves out. */
function time(bytes: Buffer, kind: 'time' | 'microTime'): string | undefined {
  if (bytes.length === 0) return undefined;
  let seconds = 0;
  let nanos = 0;
  for (const part of wireFields(bytes)) {
    if (part.kind !== 'varint') continue;
    if (part.number === 1) seconds = signed(part.value);
    if (part.number === 2) nanos = signed(part.value);
  }
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) throw malformed();
  const text = date.toISOString().slice(0, 19);
  return kind === 'time' ? `${text}Z` : `${text}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;
}

/** `IntOrString { type = 1; intVal = 2; strVal = 3 }`; type 0 is the number. */
function intOrString(bytes: Buffer): number | string {
  let isText = false;
  let number = 0;
  let text = '';
  for (const part of wireFields(bytes)) {
    if (part.kind === 'varint' && part.number === 1) isText = part.value !== 0n;
    if (part.kind === 'varint' && part.number === 2) number = signed(part.value);
    if (part.kind === 'bytes' && part.number === 3) text = part.bytes.toString('utf8');
  }
  return isText ? text : number;
}
