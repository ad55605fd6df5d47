import { WherryError } from '@wherry/base';
import type { V1LabelSelector } from '../generated/types.ts';
import { labelKeyProblems, labelValueProblems } from './label-syntax.ts';

/** Labels of an object, or `undefined` for none. */
export type Labels = Readonly<Record<string, string>> | undefined;

export type LabelOperator = '=' | '==' | '!=' | 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';

export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  readonly values: readonly string[];
}

/** A conjunction of requirements on labels. */
export interface LabelSelector {
  readonly requirements: readonly LabelRequirement[];
  /** Whether it matches every object. */
  readonly everything: boolean;
  /** Whether it can match none (the selector that was not given). */
  readonly nothing: boolean;
  /** The form that `kubectl -l` reads, keys in order. */
  readonly text: string;
  matches(labels: Labels): boolean;
}

function fail(message: string): never {
  throw new WherryError('invalid', message);
}

const wholeNumber = /^[+-]?[0-9]{1,18}$/;

function holds(r: LabelRequirement, labels: Labels): boolean {
  const has = labels !== undefined && Object.hasOwn(labels, r.key);
  const value = has ? labels[r.key]! : '';
  switch (r.operator) {
    case '=':
    case '==':
    case 'in':
      return has && r.values.includes(value);
    case '!=':
    case 'notin':
      return !has || !r.values.includes(value);
    case 'exists':
      return has;
    case '!':
      return !has;
    case 'gt':
    case 'lt': {
      if (!has || !wholeNumber.test(value)) return false;
      const difference = BigInt(value) - BigInt(r.values[0]!);
      return r.operator === 'gt' ? difference > 0n : difference < 0n;
    }
  }
}

function requirementText(r: LabelRequirement): string {
  switch (r.operator) {
    case 'exists':
      return r.key;
    case '!':
      return `!${r.key}`;
    case 'in':
    case 'notin':
      return `${r.key} ${r.operator} (${[...r.values].sort().join(',')})`;
    case 'gt':
      return `${r.key}>${r.values[0]}`;
    case 'lt':
      return `${r.key}<${r.values[0]}`;
    default:
      return `${r.key}${r.operator}${r.values[0]}`;
  }
}

function selectorOf(requirements: readonly LabelRequirement[], nothing = false): LabelSelector {
  const sorted = [...requirements].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  let text: string | undefined;
  return {
    requirements: sorted,
    everything: !nothing && sorted.length === 0,
    nothing,
    get text() {
      text ??= sorted.map(requirementText).join(',');
      return text;
    },
    matches: (labels) => !nothing && sorted.every((r) => holds(r, labels)),
  };
}

/** The selector of every object. */
export const everything: LabelSelector = selectorOf([]);

/** The selector of no object: what a selector field that was left out means. */
export const nothing: LabelSelector = selectorOf([], true);

const longText = 64 * 1024;

/** One requirement, checked as upstream checks it. Error `invalid`. */
export function labelRequirement(key: string, operator: LabelOperator, values: readonly string[]): LabelRequirement {
  const keyProblem = labelKeyProblems(key);
  if (keyProblem.length > 0) fail(`key: Invalid value: ${JSON.stringify(key)}: ${keyProblem.join('; ')}`);
  if ((operator === 'in' || operator === 'notin') && values.length === 0) {
    fail("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
  }
  if ((operator === 'exists' || operator === '!') && values.length > 0) {
    fail(`values: Invalid value: ${JSON.stringify(values)}: values set must be empty for exists and does not exist`);
  }
  values.forEach((value, i) => {
    if ((operator === 'gt' || operator === 'lt') && !wholeNumber.test(value)) {
      fail(
        `values[${i}]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
      );
    }
    const problems = labelValueProblems(value);
    if (problems.length > 0)
      fail(`values[${i}][${key}]: Invalid value: ${JSON.stringify(value)}: ${problems.join('; ')}`);
  });
  return { key, operator, values: [...values] };
}

interface Token {
  readonly kind: 'symbol' | 'word' | 'end';
  readonly text: string;
}

const end: Token = { kind: 'end', text: '' };
const tokenShape = /[ \t\r\n]*(?:(==|!=|[=!<>(),])|([^ \t\r\n=!<>(),]+))/y;

function tokens(text: string): readonly Token[] {
  const found: Token[] = [];
  tokenShape.lastIndex = 0;
  for (let m = tokenShape.exec(text); m; m = tokenShape.exec(text)) {
    found.push(m[1] === undefined ? { kind: 'word', text: m[2]! } : { kind: 'symbol', text: m[1] });
  }
  return found;
}

const operatorWords: Readonly<Record<string, LabelOperator>> = {
  in: 'in',
  notin: 'notin',
  '=': '=',
  '==': '==',
  '!=': '!=',
  '>': 'gt',
  '<': 'lt',
};

class LabelParser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokens(text);
  }

  all(): LabelRequirement[] {
    const found: LabelRequirement[] = [];
    for (;;) {
      const first = this.#peek();
      if (first.kind === 'end') return found;
      if (first.kind !== 'word' && first.text !== '!') {
        fail(`found '${first.text}', expected: !, identifier, or 'end of string'`);
      }
      try {
        found.push(this.#requirement());
      } catch (error) {
        fail(`unable to parse requirement: ${(error as Error).message}`);
      }
      const next = this.#next();
      if (next.kind === 'end') return found;
      if (next.text !== ',') fail(`found '${next.text}', expected: ',' or 'end of string'`);
      const after = this.#peek();
      if (after.kind !== 'word' && after.text !== '!') fail(`found '${after.text}', expected: identifier after ','`);
    }
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? end;
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #requirement(): LabelRequirement {
    let token = this.#next();
    const absent = token.text === '!' && token.kind === 'symbol';
    if (absent) token = this.#next();
    if (token.kind !== 'word') fail(`found '${token.text}', expected: identifier`);
    const key = token.text;
    labelRequirement(key, 'exists', []);
    if (absent) return labelRequirement(key, '!', []);
    const following = this.#peek();
    if (following.kind === 'end' || following.text === ',') return labelRequirement(key, 'exists', []);
    this.#next();
    const operator = Object.hasOwn(operatorWords, following.text) ? operatorWords[following.text]! : undefined;
    if (!operator) fail(`found '${following.text}', expected: in, notin, =, ==, !=, gt, lt`);
    if (operator === 'in' || operator === 'notin') return labelRequirement(key, operator, this.#set());
    return labelRequirement(key, operator, [this.#value()]);
  }

  #value(): string {
    const token = this.#peek();
    if (token.kind === 'end' || token.text === ',') return '';
    this.#next();
    if (token.kind !== 'word') fail(`found '${token.text}', expected: identifier`);
    return token.text;
  }

  #set(): string[] {
    const open = this.#next();
    if (open.text !== '(') fail(`found '${open.text}' expected: '('`);
    const values = new Set<string>();
    if (this.#peek().text === ')') {
      this.#next();
      return [];
    }
    for (;;) {
      const token = this.#next();
      if (token.kind === 'word') {
        values.add(token.text);
        const after = this.#next();
        if (after.text === ')') return [...values];
        if (after.text !== ',') fail(`found '${after.text}', expected: ',' or ')'`);
        if (this.#peek().text === ')') values.add('');
      } else if (token.text === ',') {
        values.add('');
      } else if (token.text === ')') {
        return [...values];
      } else {
        fail(`found '${token.text}', expected: ',', ')' or identifier`);
      }
    }
  }
}

/** Reads all forms of `kubectl -l`: `a=b,c!=d,e in (x,y),f notin (z),g,!h,n>1`. Error `invalid` in upstream's words. */
export function parseLabelSelector(text: string): LabelSelector {
  if (text === '') return everything;
  if (text.length > longText) fail('the label selector is too long');
  return selectorOf(new LabelParser(text).all());
}

const expressionOperators: Readonly<Record<string, LabelOperator>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
};

/**
 * The matcher of a `LabelSelector` field: left out matches nothing, empty matches everything
 * (apimachinery `LabelSelectorAsSelector`). Error `invalid`.
 */
export function labelSelector(selector: V1LabelSelector | undefined): LabelSelector {
  if (!selector) return nothing;
  const requirements = Object.entries(selector.matchLabels ?? {}).map(([k, v]) => labelRequirement(k, '=', [v]));
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const known = Object.hasOwn(expressionOperators, operator) ? expressionOperators[operator]! : undefined;
    if (!known) fail(`${JSON.stringify(operator)} is not a valid label selector operator`);
    requirements.push(labelRequirement(key, known, values ?? []));
  }
  return requirements.length === 0 ? everything : selectorOf(requirements);
}

/** The matcher of a plain set of labels (a Service's `selector`); empty matches everything. */
export function labelSetSelector(labels: Labels): LabelSelector {
  return selectorOf(Object.entries(labels ?? {}).map(([key, value]) => ({ key, operator: '=', values: [value] })));
}
