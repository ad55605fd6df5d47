import { expect, it } from 'vitest';
import { timeOrAge } from './time-or-age.ts';

const now = Date.UTC(2026, 5, 1);

it.each([
  ['1h30m', now - 5_400_000],
  ['-1h', now + 3_600_000],
  ['1.5s', now - 1500],
  ['0', 0],
  ['1700000000.5', 1_700_000_000_500],
  ['2026-01-02', Date.UTC(2026, 0, 2)],
  ['2026-01-02Z', Date.UTC(2026, 0, 2)],
  ['2026-01-02T03', Date.UTC(2026, 0, 2, 3)],
  ['2026-01-02T03:04', Date.UTC(2026, 0, 2, 3, 4)],
  ['2026-01-02T03:04:05-01:00', Date.UTC(2026, 0, 2, 4, 4, 5)],
  ['2026-01-02T03:04:05.25Z', Date.UTC(2026, 0, 2, 3, 4, 5, 250)],
])('%s is a moment', (text, moment) => expect(timeOrAge(text, now)).toBe(moment));

it.each([
  ['soon', 'failed to parse value as time or duration: "soon"'],
  ['', 'failed to parse value as time or duration: ""'],
  ['2020-13-01', 'parsing time "2020-13-01": month out of range'],
  ['a-b', 'parsing time "a-b" as "2006-01-02": cannot parse "a-b" as "2006"'],
])('%j is none', (text, words) => expect(() => timeOrAge(text, now)).toThrow(words));
