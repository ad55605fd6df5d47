import { WherryError } from '@wherry/base';

const longText = 64 * 1024;

function fail(message: string): never {
  throw new WherryError('invalid', message);
}

/** One comparison of a field with a value. */
export interface FieldRequirement {
  readonly field: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

/** A conjunction of requirements on fields such as `metadata.name`; a field left out counts as empty. */
export interface FieldSelector {
  readonly requirements: readonly FieldRequirement[];
  readonly everything: boolean;
  readonly text: string;
  matches(fields: Readonly<Record<string, string>>): boolean;
  /** The value that a field must have, when the selector asks for exactly one. */
  required(field: string): string | undefined;
}

/** Splits at commas that no backslash precedes. */
function terms(text: string): string[] {
  const found: string[] = [];
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === ',') {
      found.push(text.slice(from, i));
      from = i + 1;
    }
  }
  found.push(text.slice(from));
  return found;
}

function unescaped(value: string): string {
  if (!/[\\,=]/.test(value)) return value;
  let out = '';
  for (let i = 0; i < value.length; i++) {
    const c = value[i]!;
    if (c === '\\') {
      const next = value[++i] ?? '';
      if (next === '' || !'\\,='.includes(next)) fail(`invalid field selector: invalid escape sequence: ${value}`);
      out += next;
    } else if (c === ',' || c === '=') fail(`invalid field selector: unescaped character in value: ${value}`);
    else out += c;
  }
  return out;
}

function fieldRequirement(text: string, term: string): FieldRequirement {
  for (let i = 0; i < term.length; i++) {
    if (term[i] === '\\') i++;
    else {
      const operator = term.startsWith('!=', i) ? '!=' : term.startsWith('==', i) ? '==' : term[i] === '=' ? '=' : '';
      if (operator !== '') {
        return {
          field: term.slice(0, i),
          operator: operator === '!=' ? '!=' : '=',
          value: unescaped(term.slice(i + operator.length)),
        };
      }
    }
  }
  return fail(`invalid selector: '${text}'; can't understand '${term}'`);
}

/** Reads `a=b,c==d,e!=f` with `\` before `,`, `=` and `\` in values. Error `invalid` in upstream's words. */
export function parseFieldSelector(text: string): FieldSelector {
  if (text.length > longText) fail('the field selector is too long');
  const requirements = terms(text)
    .filter((term) => term !== '')
    .map((term) => fieldRequirement(text, term));
  const written = requirements.map((r) => `${r.field}${r.operator}${r.value.replace(/[\\,=]/g, '\\$&')}`).join(',');
  return {
    requirements,
    everything: requirements.length === 0,
    text: written,
    matches: (fields) =>
      requirements.every(
        (r) => ((Object.hasOwn(fields, r.field) ? fields[r.field] : '') === r.value) === (r.operator === '='),
      ),
    required: (field) => requirements.find((r) => r.field === field && r.operator === '=')?.value,
  };
}
