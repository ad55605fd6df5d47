import { parseDuration, parseGoTime, WherryError } from '@wherry/base';
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
  return timeOrAge(values[0] ?? '', now);
}

/**
 * A time in ms: an age before `now` (`24h`, `1h30m`), seconds since the epoch, or a date. Throws `invalid` in the words of
 * docker's `GetTimestamp`.
 */
export function timeOrAge(text: string, now: number): number {
  const age = text === '0' ? undefined : tryDuration(text);
  if (age !== undefined) return now - age;
  try {
    return parseGoTime(layoutOf(text), text);
  } catch (error) {
    if (text.includes('-')) throw error;
  }
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  throw new WherryError('invalid', `failed to parse value as time or duration: ${JSON.stringify(text)}`);
}

/** What a text seems to be written in: a zone, a time of day and decimals may be left out. */
function layoutOf(text: string): string {
  const dashes = text.split('-').length - 1;
  const zone = /[zZ+]/.test(text) || dashes === 3 ? 'Z07:00' : '';
  if (text.includes('.')) return `2006-01-02T15:04:05.999999999${zone}`;
  if (!text.includes('T')) return `2006-01-02${zone}`;
  // That of an offset is none of the time's.
  const colons = text.split(':').length - 1 - (zone !== '' && !/[zZ]/.test(text) ? 1 : 0);
  const time = colons <= 0 ? '15' : colons === 1 ? '15:04' : '15:04:05';
  return `2006-01-02T${time}${zone}`;
}

/** ms */
function tryDuration(text: string): number | undefined {
  try {
    return parseDuration(text) / 1e6;
  } catch {
    return undefined;
  }
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
