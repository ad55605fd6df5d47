import { WherryError } from '@wherry/base';

/** A flag as pflag understands it: `--name value`, `--name=value`, `-n value`, `--switch`, `--switch=false`. */
export interface FlagSpec {
  readonly name: string;
  readonly short?: string;
  readonly type: 'string' | 'boolean' | 'number' | 'strings';
  readonly usage: string;
  readonly default?: string | boolean | number;
  /** Of a flag that may stand alone: what it means then. Another value follows `=`. */
  readonly implied?: string;
}

export interface ParsedFlags {
  readonly args: readonly string[];
  string(name: string): string | undefined;
  boolean(name: string): boolean;
  number(name: string): number | undefined;
  strings(name: string): readonly string[];
}

const truths: Readonly<Record<string, boolean>> = {
  '1': true,
  t: true,
  true: true,
  '0': false,
  f: false,
  false: false,
};

/** Parses arguments; what is wrong fails with `invalid` in pflag's words. `--` ends the flags. */
export function parseFlags(specs: readonly FlagSpec[], argv: readonly string[]): ParsedFlags {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  const rest = [...argv];
  const take = (spec: FlagSpec, shown: string, inline: string | undefined): void => {
    let value = inline;
    if (value === undefined) {
      if (spec.type === 'boolean') value = 'true';
      else if (spec.implied !== undefined) value = spec.implied;
      else {
        value = rest.shift();
        if (value === undefined) throw new WherryError('invalid', `flag needs an argument: ${shown}`);
      }
    }
    checkValue(spec, shown, value);
    values.set(spec.name, [...(values.get(spec.name) ?? []), value]);
  };
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      args.push(...rest);
      break;
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
      const spec = specs.find((s) => s.name === name);
      if (!spec) throw new WherryError('invalid', `unknown flag: --${name}`);
      take(spec, `--${name}`, equals < 0 ? undefined : word.slice(equals + 1));
    } else if (word.startsWith('-') && word.length > 1) takeShorthands(word.slice(1), specs, take);
    else args.push(word);
  }
  const last = (name: string): string | undefined =>
    values.get(name)?.at(-1) ?? specs.find((s) => s.name === name)?.default?.toString();
  return {
    args,
    string: last,
    boolean: (name) => truths[last(name) ?? 'false'] ?? false,
    number: (name) => (last(name) === undefined ? undefined : Number(last(name))),
    strings: (name) => values.get(name) ?? [],
  };
}

/** `-abc`, `-n5`, `-n=5`, `-n 5`. */
function takeShorthands(
  letters: string,
  specs: readonly FlagSpec[],
  take: (spec: FlagSpec, shown: string, inline: string | undefined) => void,
): void {
  for (let at = 0; at < letters.length; at++) {
    const letter = letters[at]!;
    const spec = specs.find((s) => s.short === letter);
    if (!spec) throw new WherryError('invalid', `unknown shorthand flag: '${letter}' in -${letters}`);
    const after = letters.slice(at + 1);
    const inline = after.startsWith('=') ? after.slice(1) : spec.type !== 'boolean' && after !== '' ? after : undefined;
    take(spec, `-${letter}`, inline);
    if (inline !== undefined || spec.type !== 'boolean') break;
  }
}

function checkValue(spec: FlagSpec, shown: string, value: string): void {
  if (spec.type === 'boolean' && truths[value] === undefined)
    throw new WherryError(
      'invalid',
      `invalid argument ${JSON.stringify(value)} for ${JSON.stringify(shown)} flag: parsing as a boolean: invalid syntax`,
    );
  if (spec.type === 'number' && !/^\d+$/.test(value))
    throw new WherryError(
      'invalid',
      `invalid argument ${JSON.stringify(value)} for ${JSON.stringify(shown)} flag: parsing as a number: invalid syntax`,
    );
}

/** The `Flags:` section of a help text. */
export function flagUsage(specs: readonly FlagSpec[]): string {
  const rows = specs.map((spec) => {
    const kind = spec.type === 'boolean' ? '' : spec.type === 'number' ? ' int' : ' string';
    const shown = spec.implied === undefined ? kind : `${kind}[="${spec.implied}"]`;
    return [
      `${spec.short ? `-${spec.short}, ` : '    '}--${spec.name}${shown}`,
      `${spec.usage}${spec.default !== undefined && spec.default !== false ? ` (default ${spec.default})` : ''}`,
    ];
  });
  const width = Math.max(...rows.map(([left]) => left!.length));
  return rows.map(([left, right]) => `  ${left!.padEnd(width)}   ${right}`).join('\n');
}
