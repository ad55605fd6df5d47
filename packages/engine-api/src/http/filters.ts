import { WherryError } from '@wherry/base';
import { type Filters, timeOrAge } from '@wherry/docker';
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
  return timeOrAge(values[0] ?? '', now);
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
