import { WherryError } from '@wherry/base';
import type { Filters } from '@wherry/docker';
import { invalidFilter } from './query.ts';

/** Throws `invalid` for a filter that is not one of these. */
export function checkFilters(filters: Filters, known: readonly string[]): void {
  for (const name of filters.keys()) if (!known.includes(name)) throw invalidFilter(name);
}

/** A filter of one truth value; `undefined` when it is not given. Throws `invalid`. */
export function booleanFilter(filters: Filters, name: string): boolean | undefined {
  const values = filters.get(name);
  if (values === undefined) return undefined;
  const isTrue = values.includes('1') || values.includes('true');
  if (isTrue !== (values.includes('0') || values.includes('false'))) return isTrue;
  throw invalidFilter(name, values);
}

/** Labels by `key` or `key=value`, all of which must be there. */
export function matchesLabels(labels: Readonly<Record<string, string>>, wanted: readonly string[] = []): boolean {
  return wanted.every((text) => hasLabel(labels, text));
}

/** `label` and `label!` as prune takes them: all of the ones, none of the others. */
export function matchesPruneLabels(labels: Readonly<Record<string, string>>, filters: Filters): boolean {
  return (
    matchesLabels(labels, filters.get('label')) && !(filters.get('label!') ?? []).some((text) => hasLabel(labels, text))
  );
}

function hasLabel(labels: Readonly<Record<string, string>>, text: string): boolean {
  const equals = text.indexOf('=');
  const key = equals < 0 ? text : text.slice(0, equals);
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === text.slice(equals + 1));
}

/**
 * `until` of prune, in ms: an age (`24h`, `1h30m`), seconds since the epoch, or a date. `undefined` when it is not given.
 * Throws `invalid`.
 */
export function untilFilter(filters: Filters, now: number): number | undefined {
  const values = filters.get('until');
  if (values === undefined) return undefined;
  if (values.length > 1) throw new WherryError('invalid', 'more than one until filter specified');
  const [value = ''] = values;
  const age = parseDuration(value);
  if (age !== undefined) return now - age;
  if (/^-?\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const date = /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d)?)?$/.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(date)) return date;
  throw new WherryError('invalid', `failed to parse value as time or duration: ${JSON.stringify(value)}`);
}

const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 3.6e6 };

/** A duration as Go writes it, in ms. */
function parseDuration(text: string): number | undefined {
  if (!/^-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(number) * units[unit!]!;
  }
  return text.startsWith('-') ? -total : total;
}

/** A value that one of the patterns is found in, as Go's `filters.Match` does it; any without patterns. */
export function matchesText(patterns: readonly string[] | undefined, value: string): boolean {
  if (patterns === undefined || patterns.length === 0) return true;
  return patterns.some((pattern) => value.includes(pattern) || matchesExpression(pattern, value));
}

/** Patterns are a stranger's: what could run for ever is taken as plain text. */
function matchesExpression(pattern: string, value: string): boolean {
  if (pattern.length > 256 || /[+*}][^|]*[+*{]|\\[1-9]|\(\?/.test(pattern)) return false;
  try {
    return new RegExp(pattern).test(value);
  } catch {
    return false;
  }
}
