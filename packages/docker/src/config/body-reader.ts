import { WherryError } from '@wherry/base';
import type { JsonObject } from '../containers/containers.ts';

/**
 * Reads a JSON body field by field as Go's decoder does: names without regard to case, `null` as absent, errors with
 * its words. Unknown fields are passed over.
 */
export class BodyReader {
  readonly #fields = new Map<string, unknown>();
  readonly #type: string;

  constructor(body: JsonObject, type: string) {
    this.#type = type;
    for (const [name, value] of Object.entries(body)) this.#fields.set(name.toLowerCase(), value);
  }

  raw(name: string): unknown {
    return this.#fields.get(name.toLowerCase()) ?? undefined;
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined;
  }

  text(name: string): string {
    const value = this.raw(name);
    if (value === undefined) return '';
    return typeof value === 'string' ? value : this.#refuse(name, value, 'string');
  }

  flag(name: string): boolean {
    return this.optionalFlag(name) ?? false;
  }

  optionalFlag(name: string): boolean | undefined {
    const value = this.raw(name);
    if (value === undefined || typeof value === 'boolean') return value;
    return this.#refuse(name, value, 'bool');
  }

  integer(name: string): number {
    return this.optionalInteger(name) ?? 0;
  }

  optionalInteger(name: string): number | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value)) return value;
    return this.#refuse(name, value, 'int64');
  }

  /** A list of strings; `single` takes a lone string, too (Go's `strslice.StrSlice`). */
  texts(name: string, single = false): string[] | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (single && typeof value === 'string') return [value];
    if (!Array.isArray(value)) return this.#refuse(name, value, '[]string');
    return value.map((item) => (typeof item === 'string' ? item : this.#refuse(name, item, 'string')));
  }

  textMap(name: string): Record<string, string> | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    const map: Record<string, string> = {};
    for (const [key, item] of this.#entries(name, value, 'map[string]string'))
      define(map, key, typeof item === 'string' ? item : this.#refuse(name, item, 'string'));
    return map;
  }

  /** A set as Go writes it: keys with empty objects. */
  set(name: string): Record<string, object> | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    const set: Record<string, object> = {};
    for (const [key] of this.#entries(name, value, 'map[string]struct {}')) define(set, key, {});
    return set;
  }

  entries(name: string): readonly (readonly [string, unknown])[] | undefined {
    const value = this.raw(name);
    return value === undefined ? undefined : this.#entries(name, value, 'map');
  }

  object(name: string, type = name): BodyReader | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) return this.#refuse(name, value, type);
    return new BodyReader(value as JsonObject, type);
  }

  objects(name: string, type = name): BodyReader[] | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (!Array.isArray(value)) return this.#refuse(name, value, `[]${type}`);
    return value.map((item) =>
      typeof item === 'object' && item !== null && !Array.isArray(item)
        ? new BodyReader(item as JsonObject, type)
        : this.#refuse(name, item, type),
    );
  }

  #entries(name: string, value: unknown, type: string): [string, unknown][] {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.#refuse(name, value, type);
    return Object.entries(value);
  }

  #refuse(name: string, value: unknown, wanted: string): never {
    const kind =
      value === null || value === undefined
        ? 'null'
        : Array.isArray(value)
          ? 'array'
          : typeof value === 'boolean'
            ? 'bool'
            : typeof value === 'number' && !Number.isInteger(value)
              ? `number ${value}`
              : typeof value;
    throw new WherryError(
      'invalid',
      `invalid JSON: json: cannot unmarshal ${kind} into Go struct field ${this.#type}.${name} of type ${wanted}`,
    );
  }
}

/** `__proto__` is a key like any other. */
export function define<T>(map: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(map, key, { value, enumerable: true, writable: true, configurable: true });
}
