import { describe, expect, it } from 'vitest';
import { asGoWrites, parseGoTime, rfc3339 as written } from './go-time.ts';

const rfc3339 = '2006-01-02T15:04:05Z07:00';
const date = '2006-01-02';

describe('times are read by layouts of Go', () => {
  it.each([
    [date, '2026-02-28', Date.UTC(2026, 1, 28)],
    [rfc3339, '2026-01-02T03:04:05Z', Date.UTC(2026, 0, 2, 3, 4, 5)],
    [rfc3339, '2026-01-02T03:04:05.25Z', Date.UTC(2026, 0, 2, 3, 4, 5, 250)],
    [rfc3339, '2026-01-02T03:04:05+01:30', Date.UTC(2026, 0, 2, 1, 34, 5)],
    ['2006-01-02T15', '2026-01-02T3', Date.UTC(2026, 0, 2, 3)],
    ['2006-01-02T15:04:05.999999999', '2026-01-02T03:04:05', Date.UTC(2026, 0, 2, 3, 4, 5)],
  ])('%s: %s', (layout, value, time) => expect(parseGoTime(layout, value)).toBe(time));

  it.each([
    [date, '2020-13-01', 'parsing time "2020-13-01": month out of range'],
    [date, '2021-02-29', 'parsing time "2021-02-29": day out of range'],
    [date, '2021-02-00', 'parsing time "2021-02-00": day out of range'],
    [date, 'a-b', 'parsing time "a-b" as "2006-01-02": cannot parse "a-b" as "2006"'],
    [date, '2020-1-1', 'parsing time "2020-1-1" as "2006-01-02": cannot parse "1-1" as "01"'],
    [date, '2020/01', 'parsing time "2020/01" as "2006-01-02": cannot parse "/01" as "-"'],
    [date, '2020-01-01x', 'parsing time "2020-01-01x": extra text: "x"'],
    [rfc3339, '2020-01-01T24:00:00Z', 'parsing time "2020-01-01T24:00:00Z": hour out of range'],
    [rfc3339, '2020-01-01T00:00:00', `parsing time "2020-01-01T00:00:00" as "${rfc3339}": cannot parse "" as "Z07:00"`],
  ])('%s: not %s', (layout, value, words) => expect(() => parseGoTime(layout, value)).toThrow(words));
});

it.each([
  ['2020-01-01T00:00:00Z', '2020-01-01T00:00:00Z'],
  ['2020-01-01T00:00:10.000Z', '2020-01-01T00:00:10Z'],
  ['2020-01-01T00:00:00.120300000Z', '2020-01-01T00:00:00.1203Z'],
  ['2020-01-01T00:00:00.5+02:00', '2020-01-01T00:00:00.5+02:00'],
  ['2020-01-01T00:00:00.00+00:00', '2020-01-01T00:00:00Z'],
])('Go writes %s as %s', (read, again) => expect(asGoWrites(read)).toBe(again));

it('milliseconds are written as Go writes them', () => {
  expect(written(Date.UTC(2026, 0, 1, 0, 0, 10))).toBe('2026-01-01T00:00:10Z');
  expect(written(1_700_000_000_120)).toBe('2023-11-14T22:13:20.12Z');
});
