import { WherryError } from '@wherry/base';
import type { JsonObject } from '../containers/containers.ts';

/** Whole numbers by their Go type. */
const ranges = {
  int: [-(2 ** 63), 2 ** 63],
  int64: [-(2 ** 63), 2 ** 63],
  'time.Duration': [-(2 ** 63), 2 ** 63],
  uint: [0, 2 ** 64],
  uint64: [0, 2 ** 64],
  'fs.FileMode': [0, 2 ** 32],
  uint16: [0, 2 ** 16],
} as const;

/** The largest number below 2^63 that there is. */
const largestInteger = 2 ** 63 - 1024;

export type IntegerType = keyof typeof ranges;

/**
 * Reads a JSON body field by field as Go's decoder does: names without regard to case, `null` as absent, errors with
 * its words. Unknown fields are passed over. Types are named as Go's errors name them: `container.HostConfig`.
 */
export class BodyReader {
  readonly #body: JsonObject;
  readonly #fields = new Map<string, unknown>();
  readonly #struct: string;
  readonly #path: string;

  /** `struct`: the object's type, without its package. `path`: of its fields, from the top, with a dot at its end. */
  constructor(body: JsonObject, struct: string, path = '') {
    this.#body = body;
    this.#struct = struct;
    this.#path = path;
    for (const [name, value] of Object.entries(body)) this.#fields.set(name.toLowerCase(), value);
  }

  /** The fields of a struct that is embedded in this one: they are read here, and named with it in errors. */
  embedded(name: string): BodyReader {
    return new BodyReader(this.#body, this.#struct, `${this.#path}${name}.`);
  }

  raw(name: string): unknown {
    return this.#fields.get(name.toLowerCase()) ?? undefined;
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined;
  }

  text(name: string, type = 'string'): string {
    const value = this.raw(name);
    return value === undefined ? '' : this.#text(name, value, type);
  }

  #text(name: string, value: unknown, type = 'string'): string {
    if (value === null) return '';
    return typeof value === 'string' ? value : this.#refuse(name, value, type);
  }

  flag(name: string): boolean {
    return this.optionalFlag(name) ?? false;
  }

  optionalFlag(name: string): boolean | undefined {
    const value = this.raw(name);
    if (value === undefined || typeof value === 'boolean') return value;
    return this.#refuse(name, value, 'bool');
  }

  integer(name: string, type: IntegerType = 'int64'): number {
    return this.optionalInteger(name, type) ?? 0;
  }

  optionalInteger(name: string, type: IntegerType = 'int64'): number | undefined {
    const value = this.raw(name);
    return value === undefined ? undefined : this.#integer(name, value, type);
  }

  #integer(name: string, value: unknown, type: IntegerType): number {
    const [least, end] = ranges[type];
    if (typeof value !== 'number') return this.#refuse(name, value, type);
    if (!Number.isInteger(value) || value < least || value > end) return this.#refuse(name, value, type, true);
    // The largest ones are no numbers of JavaScript: what was read may be one too many.
    return Math.min(value, end === 2 ** 63 ? largestInteger : end - 1);
  }

  /** A fixed number of whole numbers; missing ones are 0, more are passed over. */
  integers(name: string, count: number, type: IntegerType): number[] {
    const value = this.raw(name) ?? [];
    if (!Array.isArray(value)) return this.#refuse(name, value, `[${count}]${type}`);
    const numbers = value.slice(0, count).map((item) => (item === null ? 0 : this.#integer(name, item, type)));
    return Array.from({ length: count }, (_, index) => numbers[index] ?? 0);
  }

  texts(name: string): string[] | null {
    const value = this.raw(name);
    return value === undefined ? null : this.#texts(name, value);
  }

  #texts(name: string, value: unknown): string[] {
    if (!Array.isArray(value)) return this.#refuse(name, value, '[]string');
    return value.map((item) => this.#text(name, item));
  }

  /** A list of strings or one by itself (Go's `strslice.StrSlice`). */
  words(name: string): string[] | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (!Array.isArray(value)) return [this.#text(name, value)];
    // It is tried as a string when it is no list of strings.
    return value.map((item) =>
      item === null ? '' : typeof item === 'string' ? item : this.#refuse(name, value, 'string'),
    );
  }

  /** A list of lists of strings. */
  textLists(name: string): string[][] | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (!Array.isArray(value)) return this.#refuse(name, value, '[][]string');
    return value.map((item) => (item === null ? [] : this.#texts(name, item)));
  }

  textMap(name: string): Record<string, string> | undefined {
    const entries = this.entries(name, 'map[string]string');
    if (entries === undefined) return undefined;
    const map: Record<string, string> = {};
    for (const [key, item] of entries) define(map, key, this.#text(name, item));
    return map;
  }

  /** A set as Go writes it: keys with empty objects. */
  set(name: string, type = 'map[string]struct {}'): Record<string, object> | undefined {
    const entries = this.entries(name, type);
    if (entries === undefined) return undefined;
    const set: Record<string, object> = {};
    for (const [key, item] of entries)
      define(set, key, item === null || isObject(item) ? {} : this.#refuse(name, item, 'struct {}'));
    return set;
  }

  entries(name: string, type: string): (readonly [string, unknown])[] | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    return isObject(value) ? Object.entries(value) : this.#refuse(name, value, type);
  }

  object(name: string, type: string): BodyReader | undefined {
    const value = this.raw(name);
    return value === undefined ? undefined : this.#object(name, value, type);
  }

  /** Objects by keys; one that is `null` is `undefined`. */
  objectMap(name: string, type: string): (readonly [string, BodyReader | undefined])[] {
    const entries = this.entries(name, `map[string]*${type}`) ?? [];
    return entries.map(([key, item]) => [key, item === null ? undefined : this.#object(name, item, type)] as const);
  }

  /** `list`: the type of the whole. */
  objects(name: string, type: string, list = `[]${type}`): BodyReader[] | null {
    const value = this.raw(name);
    return value === undefined ? null : this.#objects(name, value, type, list);
  }

  /** Lists of objects by keys. */
  objectLists(name: string, type: string, map: string): (readonly [string, BodyReader[]])[] {
    const entries = this.entries(name, map) ?? [];
    return entries.map(([key, item]) => [key, this.#objects(name, item ?? [], type, `[]${type}`)] as const);
  }

  #objects(name: string, value: unknown, type: string, list: string): BodyReader[] {
    if (!Array.isArray(value)) return this.#refuse(name, value, list);
    return value.map((item) => this.#object(name, item ?? {}, type));
  }

  #object(name: string, value: unknown, type: string): BodyReader {
    if (!isObject(value)) return this.#refuse(name, value, type);
    return new BodyReader(value as JsonObject, type.slice(type.lastIndexOf('.') + 1), `${this.#path}${name}.`);
  }

  #refuse(name: string, value: unknown, wanted: string, exact = false): never {
    throw this.mismatch(name, value, wanted, exact);
  }

  /** What Go's decoder says of a value of another type. */
  mismatch(name: string, value: unknown, wanted: string, exact = false): WherryError {
    const kind = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
    return new WherryError(
      'invalid',
      `invalid JSON: json: cannot unmarshal ${exact ? `${kind} ${value}` : kind} into Go struct field ${this.#struct}.${this.#path}${name} of type ${wanted}`,
    );
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `__proto__` is a key like any other. */
export function define<T>(map: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(map, key, { value, enumerable: true, writable: true, configurable: true });
}
