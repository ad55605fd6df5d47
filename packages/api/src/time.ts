import { WherryError } from '@wherry/base';

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;
const plain = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/;

const secondsLayout = '2006-01-02T15:04:05Z07:00';
const microLayout = '2006-01-02T15:04:05.000000Z07:00';

function fail(text: string, layout: string, why: string): never {
  throw new WherryError(
    'invalid',
    `parsing time ${JSON.stringify(text)}${why === '' ? ` as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(text)} as "2006"` : `: ${why}`}`,
  );
}

function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

interface Instant {
  /** Milliseconds since the epoch, at a whole second. */
  readonly ms: number;
  /** Digits of the fraction, padded to nine. */
  readonly fraction: string;
}

function parse(text: string, layout: string): Instant {
  const m = rfc3339.exec(text);
  if (!m) fail(text, layout, '');
  const [year, month, day, hour, minute, second] = m.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (month < 1 || month > 12) fail(text, layout, 'month out of range');
  if (day < 1 || day > daysIn(year, month)) fail(text, layout, 'day out of range');
  if (hour > 23) fail(text, layout, 'hour out of range');
  if (minute > 59) fail(text, layout, 'minute out of range');
  if (second > 59) fail(text, layout, 'second out of range');
  const zone = m[8]!;
  const offset =
    zone === 'Z' ? 0 : (zone.startsWith('-') ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4)));
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute - offset, second);
  return { ms: date.getTime(), fraction: (m[7] ?? '').padEnd(9, '0') };
}

function secondsText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** A `metav1.Time` in UTC with whole seconds. Error `invalid` with Go's text. */
export function canonicalTime(text: string): string {
  if (plain.test(text)) return text;
  return secondsText(parse(text, secondsLayout).ms);
}

/** A `metav1.MicroTime` in UTC with six digits of fraction. Error `invalid` with Go's text. */
export function canonicalMicroTime(text: string): string {
  const { ms, fraction } = parse(text, microLayout);
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction.slice(0, 6)}Z`;
}

/** The `metav1.Time` text of an instant in ms since the epoch. */
export function timeText(ms: number): string {
  return secondsText(Math.floor(ms / 1000) * 1000);
}

/** The `metav1.MicroTime` text of an instant in ms since the epoch. */
export function microTimeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}

/** Milliseconds since the epoch of either kind of time. Error `invalid`. */
export function timeOf(text: string): number {
  const { ms, fraction } = parse(text, secondsLayout);
  return ms + Math.floor(Number(fraction.slice(0, 6)) / 1000);
}
