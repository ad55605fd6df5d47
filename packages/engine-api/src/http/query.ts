import { type ErrorCode, WherryError } from '@wherry/base';
import type { Filters } from '@wherry/docker';

/** A request's query as dockerd reads it. */
export class Query {
  readonly #values = new Map<string, string[]>();

  constructor(text: string) {
    for (const part of text.split('&')) {
      if (part === '') continue;
      if (part.includes(';')) throw new WherryError('invalid', 'invalid semicolon separator in query');
      const equals = part.indexOf('=');
      const name = decode(equals < 0 ? part : part.slice(0, equals));
      const value = equals < 0 ? '' : decode(part.slice(equals + 1));
      const values = this.#values.get(name);
      if (values) values.push(value);
      else this.#values.set(name, [value]);
    }
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The first value; empty when it is not given. */
  text(name: string): string {
    return this.#values.get(name)?.[0] ?? '';
  }

  /** The first value, or `undefined` when it is empty or not given. */
  optional(name: string): string | undefined {
    return this.text(name) || undefined;
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** False for nothing and for `0`, `no`, `false` and `none` in any case. */
  flag(name: string, absent = false): boolean {
    if (!this.has(name)) return absent;
    const value = this.text(name).trim().toLowerCase();
    return !(value === '' || value === '0' || value === 'no' || value === 'false' || value === 'none');
  }

  /** A whole number; `undefined` when it is empty or not given. Throws Go's words, which dockerd takes for a failure of its own. */
  integer(name: string): number | undefined {
    const value = this.text(name);
    return value === '' ? undefined : parseInteger(value, 'internal');
  }

  /** A whole number that must be given. */
  requiredInteger(name: string): number {
    return parseInteger(this.text(name));
  }

  /** `{"name":{"value":true}}`, or as old clients send it `{"name":["value"]}`. Throws `invalid`. */
  filters(): Filters {
    const text = this.text('filters');
    return text === '' ? new Map() : parseFilters(text);
  }
}

/** A whole number of 64 bits, as Go's `strconv.Atoi` takes it. */
export function parseInteger(text: string, code: ErrorCode = 'invalid'): number {
  if (!/^[+-]?\d+$/.test(text)) {
    throw new WherryError(code, `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  const value = BigInt(text.replace(/^\+/, ''));
  if (BigInt.asIntN(64, value) !== value) {
    throw new WherryError(code, `strconv.Atoi: parsing ${JSON.stringify(text)}: value out of range`);
  }
  return Number(value);
}

function parseFilters(text: string): Filters {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw invalidFilter();
  }
  if (given === null) return new Map();
  if (typeof given !== 'object' || Array.isArray(given)) throw invalidFilter();
  const filters = new Map<string, readonly string[]>();
  for (const [name, values] of Object.entries(given)) {
    if (Array.isArray(values) && values.every((value) => typeof value === 'string')) filters.set(name, values);
    else if (isValueSet(values))
      filters.set(
        name,
        Object.keys(values).filter((value) => values[value]),
      );
    else if (values !== null) throw invalidFilter();
  }
  return filters;
}

function isValueSet(values: unknown): values is Record<string, boolean> {
  return (
    typeof values === 'object' &&
    values !== null &&
    !Array.isArray(values) &&
    Object.values(values).every((value) => typeof value === 'boolean')
  );
}

/** What dockerd says of a filter that it does not know, or of a value that it does not take. */
export function invalidFilter(name?: string, values?: readonly string[]): WherryError {
  if (name === undefined || name === '') return new WherryError('invalid', 'invalid filter');
  const value = values === undefined ? '' : `=[${values.join(' ')}]`;
  return new WherryError('invalid', `invalid filter '${name}${value}'`);
}

function decode(text: string): string {
  const wrong = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(text);
  if (wrong) throw new WherryError('invalid', `invalid URL escape ${JSON.stringify(wrong[0])}`);
  const bytes = text.replaceAll('+', ' ');
  try {
    return decodeURIComponent(bytes);
  } catch {
    // Not UTF-8: kept as bytes, which no name here can match.
    return unescape(bytes);
  }
}
