import { WherryError } from './errors.ts';

/** A type of Go, as far as JSON is read into it. Structs are known by the names that their messages have. */
export type GoType =
  | { readonly kind: 'string' | 'bool' | 'number'; readonly type: string }
  | { readonly kind: 'time' | 'any' }
  /** `text`: a lone string counts as a list of one (`strslice.StrSlice`). */
  | { readonly kind: 'list'; readonly type: string; readonly of: GoType; readonly text?: boolean }
  | { readonly kind: 'map'; readonly type: string; readonly of: GoType }
  | GoStruct;

export interface GoStruct {
  readonly kind: 'struct';
  /** With its package (`image.Image`). */
  readonly type: string;
  /** By the names in JSON. */
  readonly fields: Readonly<Record<string, GoType>>;
  /** Fields of a struct within it, whose name stands before theirs in messages. */
  readonly embedded?: { readonly name: string; readonly fields: readonly string[] };
}

export const goString = { kind: 'string', type: 'string' } as const;
export const goBool = { kind: 'bool', type: 'bool' } as const;
export const goInteger = (type = 'int64') => ({ kind: 'number', type }) as const;
export const goTime = { kind: 'time' } as const;
export const goStrings = { kind: 'list', type: '[]string', of: goString } as const;
export const goStringMap = { kind: 'map', type: 'map[string]string', of: goString } as const;

/**
 * What Go's encoding/json makes of a JSON value that it reads into a type: members of structs by their names in any
 * case, `null` as nothing, unknown members left out. Throws `corrupt` in its words.
 */
export function decodeGo(value: unknown, type: GoType): unknown {
  return decode(value, type, undefined);
}

/** Where a value stands: `Go struct field Config.config.Env`. */
interface Place {
  readonly struct: string;
  readonly path: string;
}

function decode(value: unknown, type: GoType, place: Place | undefined): unknown {
  if (value === null || value === undefined) return undefined;
  switch (type.kind) {
    case 'any':
      return value;
    case 'time':
      return timeOf(value);
    case 'string':
    case 'bool':
      if (typeof value !== (type.kind === 'bool' ? 'boolean' : 'string')) throw mismatch(value, type.type, place);
      return value;
    case 'number':
      if (!Number.isInteger(value)) throw mismatch(value, type.type, place);
      return value;
    case 'list':
      if (type.text === true && typeof value === 'string') return [value];
      if (!Array.isArray(value)) throw mismatch(value, type.type, place);
      return value.map((item) => decode(item, type.of, place) ?? zeroOf(type.of));
    case 'map':
      if (!isObject(value)) throw mismatch(value, type.type, place);
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, decode(item, type.of, place) ?? zeroOf(type.of)]),
      );
    case 'struct':
      if (!isObject(value)) throw mismatch(value, type.type, place);
      return decodeStruct(value, type, place);
  }
}

function decodeStruct(value: object, type: GoStruct, place: Place | undefined): object {
  const struct = type.type.slice(type.type.lastIndexOf('.') + 1);
  const found: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const name = nameOf(type, key);
    if (name === undefined) continue;
    const within = type.embedded?.fields.includes(name) ? type.embedded.name : undefined;
    const path = [place?.path, within, name].filter((part) => part !== undefined).join('.');
    const decoded = decode(item, type.fields[name]!, { struct, path });
    if (decoded !== undefined) found[name] = decoded;
  }
  return found;
}

function nameOf({ fields }: GoStruct, key: string): string | undefined {
  if (Object.hasOwn(fields, key)) return key;
  const lower = key.toLowerCase();
  return Object.keys(fields).find((name) => name.toLowerCase() === lower);
}

function zeroOf(type: GoType): unknown {
  if (type.kind === 'string') return '';
  if (type.kind === 'bool') return false;
  if (type.kind === 'number') return 0;
  return type.kind === 'struct' ? {} : null;
}

function mismatch(value: unknown, wanted: string, place: Place | undefined): WherryError {
  const where = place === undefined ? 'Go value' : `Go struct field ${place.struct}.${place.path}`;
  return new WherryError('corrupt', `json: cannot unmarshal ${kindOf(value)} into ${where} of type ${wanted}`);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  return typeof value === 'number' && !Number.isInteger(value) ? `number ${value}` : typeof value;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const layout = '2006-01-02T15:04:05Z07:00';
const timeParts: readonly (readonly [RegExp, string])[] = [
  [/^\d{4}/, '2006'],
  [/^-/, '-'],
  [/^(?:0[1-9]|1[0-2])/, '01'],
  [/^-/, '-'],
  [/^(?:0[1-9]|[12]\d|3[01])/, '02'],
  [/^T/, 'T'],
  [/^(?:[01]\d|2[0-3])/, '15'],
  [/^:/, ':'],
  [/^[0-5]\d/, '04'],
  [/^:/, ':'],
  [/^[0-5]\d(?:\.\d+)?/, '05'],
  [/^(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)/, 'Z07:00'],
];

/** RFC 3339, as `time.Time` reads it. */
function timeOf(value: unknown): string {
  if (typeof value !== 'string') throw new WherryError('corrupt', 'Time.UnmarshalJSON: input is not a JSON string');
  const quoted = JSON.stringify(value);
  let rest = value;
  for (const [pattern, part] of timeParts) {
    const [found] = pattern.exec(rest) ?? [];
    if (found === undefined) {
      const words = `cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(part)}`;
      throw new WherryError('corrupt', `parsing time ${quoted} as ${JSON.stringify(layout)}: ${words}`);
    }
    rest = rest.slice(found.length);
  }
  if (rest === '') return value;
  throw new WherryError('corrupt', `parsing time ${quoted}: extra text: ${JSON.stringify(rest)}`);
}
