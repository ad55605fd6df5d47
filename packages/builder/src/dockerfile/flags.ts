import { WherryError } from '@wherry/base';
import { suggestion } from './suggestion.ts';

type FlagKind = 'text' | 'boolean' | 'list';

/** The flags of one instruction, checked against those that it knows. */
export class Flags {
  readonly #values = new Map<string, string[]>();

  /** Throws `invalid` in the words of docker's parser. */
  constructor(written: readonly string[], known: Readonly<Record<string, FlagKind>>) {
    for (const flag of written) {
      const equals = flag.indexOf('=');
      const name = flag.slice(2, equals < 0 ? undefined : equals);
      const value = equals < 0 ? undefined : flag.slice(equals + 1);
      const kind = Object.hasOwn(known, name) ? known[name] : undefined;
      if (kind === undefined) {
        throw new WherryError('invalid', `unknown flag: ${name}${suggestion(name, Object.keys(known))}`);
      }
      if (this.#values.has(name) && kind !== 'list') {
        throw new WherryError('invalid', `duplicate flag specified: ${name}`);
      }
      this.#values.set(name, [...(this.#values.get(name) ?? []), checkedValue(name, value, kind)]);
    }
  }

  text(name: string): string | undefined {
    return this.#values.get(name)?.[0] || undefined;
  }

  boolean(name: string): boolean | undefined {
    const value = this.#values.get(name)?.[0];
    return value === undefined ? undefined : value === 'true';
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

function checkedValue(name: string, value: string | undefined, kind: FlagKind): string {
  if (kind !== 'boolean') {
    if (value === undefined) throw new WherryError('invalid', `missing a value on flag: ${name}`);
    return value;
  }
  if (value === undefined) return 'true';
  if (value === '') throw new WherryError('invalid', `missing a value on flag: ${name}`);
  const lower = value.toLowerCase();
  if (lower === 'true' || lower === 'false') return lower;
  throw new WherryError('invalid', `expecting boolean value for flag ${name}, not: ${value}`);
}
