import { WherryError } from '@wherry/base';
import type { JsonObject } from '@wherry/docker';
import { kindOf } from './body.ts';

/**
 * Members of a body by the types that Go's decoder would want, in its words: names in any case, null as absent. All
 * throw `invalid`.
 */
export class BodyFields {
  readonly #body: JsonObject;
  readonly #type: string;

  /** `type`: what messages name the object by. */
  constructor(body: JsonObject, type: string) {
    this.#body = body;
    this.#type = type;
  }

  text(name: string): string {
    return (this.#take(name, 'string', (value) => typeof value === 'string') as string | undefined) ?? '';
  }

  optionalFlag(name: string): boolean | undefined {
    return this.#take(name, 'bool', (value) => typeof value === 'boolean') as boolean | undefined;
  }

  flag(name: string): boolean {
    return this.optionalFlag(name) ?? false;
  }

  texts(name: string): Readonly<Record<string, string>> | undefined {
    const values = this.#take(name, 'map[string]string', isObject) as Record<string, unknown> | undefined;
    for (const value of Object.values(values ?? {})) {
      if (typeof value !== 'string') throw this.#mismatch(value, name, 'string');
    }
    return values as Readonly<Record<string, string>> | undefined;
  }

  object(name: string, type: string): BodyFields | undefined {
    const value = this.#take(name, type, isObject) as JsonObject | undefined;
    return value && new BodyFields(value, type);
  }

  /** As it stands, unchecked but for being an object. */
  raw(name: string, type: string): JsonObject | undefined {
    return this.#take(name, type, isObject) as JsonObject | undefined;
  }

  objects(name: string, type: string): readonly BodyFields[] | undefined {
    const values = this.#take(name, `[]${type}`, Array.isArray) as unknown[] | undefined;
    return values?.map((value) => {
      if (!isObject(value)) throw this.#mismatch(value, name, type);
      return new BodyFields(value as JsonObject, type);
    });
  }

  #take(name: string, type: string, fits: (value: unknown) => boolean): unknown {
    const lower = name.toLowerCase();
    const key = Object.hasOwn(this.#body, name)
      ? name
      : Object.keys(this.#body).find((other) => other.toLowerCase() === lower);
    const value = key === undefined ? undefined : this.#body[key];
    if (value === undefined || value === null) return undefined;
    if (!fits(value)) throw this.#mismatch(value, name, type);
    return value;
  }

  #mismatch(value: unknown, name: string, type: string): WherryError {
    return new WherryError(
      'invalid',
      `invalid JSON: json: cannot unmarshal ${kindOf(value)} into Go struct field ${this.#type}.${name} of type ${type}`,
    );
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
